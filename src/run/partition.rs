//! The scenes of a job divided among the processes that share it.
//!
//! Scenes are laid end to end, as long as their cost, and each process takes an equal piece. So at most one scene is divided at
//! each border between processes; a process that computes a whole scene assembles its outputs too.

/// How much of a scene this process computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    All,
    /// One of the scene's bands of rows, for process `index`, counted from 1, of the `count` that share the job. The merge
    /// assembles the rasters.
    Shard {
        index: usize,
        count: usize,
        bands: Bands,
    },
}

/// How a scene is divided into bands of rows, one for each of some consecutive processes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bands {
    /// The process of the first band, counted from 0.
    pub first: usize,
    pub count: usize,
    /// What the first band costs, and each of the others but the last: shares of the scene.
    pub head: f64,
    pub step: f64,
}

impl Bands {
    /// Where a band but the first begins, as a share of what the scene costs.
    pub fn start(&self, band: usize) -> f64 {
        self.head + (band as f64 - 1.0) * self.step
    }
}

/// A border this near to a scene's end, in shares, moves there: too little to be worth a cut, whose windows are computed twice.
/// Scenes smaller than this are never cut.
const NEAR: f64 = 0.125;

/// The share of each scene that process `index` (from 1) of `count` computes; `None`: nothing of it. `costs` are those of the
/// scenes, in any unit.
pub fn partition(costs: &[f64], index: usize, count: usize) -> Vec<Option<Share>> {
    let share = costs.iter().sum::<f64>() / count as f64;
    let mut start = 0.0;
    costs
        .iter()
        .map(|cost| {
            let from = start / share;
            start += cost;
            one(from, start / share, index, count)
        })
        .collect()
}

/// Of the scene from `start` to `end`, in shares.
fn one(start: f64, end: f64, index: usize, count: usize) -> Option<Share> {
    // The process that a position belongs to, from 0.
    let owner = |place: f64| (place.max(0.0) as usize).min(count - 1);
    let cuts: Vec<usize> = match end - start < NEAR {
        true => Vec::new(),
        false => (1..count).filter(|&cut| (start + NEAR..end - NEAR).contains(&(cut as f64))).collect(),
    };
    let (Some(&head), Some(&last)) = (cuts.first(), cuts.last()) else {
        return (owner((start + end) / 2.0) + 1 == index).then_some(Share::All);
    };
    let length = end - start;
    let bands =
        Bands { first: head - 1, count: cuts.len() + 1, head: (head as f64 - start) / length, step: 1.0 / length };
    (head - 1..=last).contains(&(index - 1)).then_some(Share::Shard { index, count, bands })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dealt(costs: &[f64], count: usize) -> Vec<Vec<Option<Share>>> {
        (1..=count).map(|index| partition(costs, index, count)).collect()
    }

    #[test]
    fn a_single_scene_is_cut_into_equal_bands() {
        let share = partition(&[7.0], 3, 4);
        let bands = Bands { first: 0, count: 4, head: 0.25, step: 0.25 };
        assert_eq!(share, [Some(Share::Shard { index: 3, count: 4, bands })]);
        assert_eq!(partition(&[7.0], 1, 1), [Some(Share::All)]);
    }

    #[test]
    fn as_many_equal_scenes_as_processes_stay_whole() {
        for (index, dealt) in dealt(&[2.0; 4], 4).iter().enumerate() {
            let whole: Vec<usize> = (0..4).filter(|&scene| dealt[scene] == Some(Share::All)).collect();
            assert_eq!((whole, dealt.iter().flatten().count()), (vec![index], 1));
        }
    }

    #[test]
    fn a_large_scene_among_small_ones_is_cut_where_shares_end() {
        // A share is 2.5: the second scene lies from 0.4 to 3.6 of four shares.
        let bands = Bands { first: 0, count: 4, head: 0.6 / 3.2, step: 1.0 / 3.2 };
        for index in 1..=4 {
            let Some(Share::Shard { bands: found, .. }) = partition(&[1.0, 8.0, 1.0], index, 4)[1] else {
                panic!("{index}")
            };
            assert_eq!((found.first, found.count), (bands.first, bands.count));
            assert!((found.head - bands.head).abs() < 1e-9 && (found.step - bands.step).abs() < 1e-9);
        }
    }

    proptest! {
        #[test]
        fn every_part_is_dealt_once_and_nobody_has_much_more_than_a_share(
            costs in prop::collection::vec(0.01f64..50.0, 1..40), count in 1usize..12,
        ) {
            let all = dealt(&costs, count);
            let share = costs.iter().sum::<f64>() / count as f64;
            let mut loads = vec![0.0; count];
            for (scene, cost) in costs.iter().enumerate() {
                let parts: Vec<(usize, Share)> =
                    all.iter().enumerate().filter_map(|(process, dealt)| Some((process, dealt[scene]?))).collect();
                match parts[0].1 {
                    Share::All => {
                        prop_assert_eq!(parts.len(), 1);
                        loads[parts[0].0] += cost;
                    }
                    Share::Shard { bands, .. } => {
                        prop_assert!(parts.iter().map(|part| part.0).eq(bands.first..bands.first + bands.count));
                        for (band, (process, part)) in parts.iter().enumerate() {
                            prop_assert_eq!(*part, Share::Shard { index: process + 1, count, bands });
                            let start = |band: usize| match band {
                                0 => 0.0,
                                band if band == bands.count => 1.0,
                                band => bands.start(band),
                            };
                            loads[*process] += cost * (start(band + 1) - start(band));
                        }
                    }
                }
            }
            // Moved by NEAR at both ends, and half a scene that was too small to be cut.
            prop_assert!(loads.iter().all(|load| *load <= share * (1.0 + 2.0 * NEAR + 1e-9)), "{loads:?} for {share}");
        }
    }
}
