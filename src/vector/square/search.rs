//! The optimal division of an outline into straight walls, by dynamic programming.

use super::Prices;
use super::contour::Contour;

/// The direction of a wall relative to the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Along,
    Across,
    Slanted,
}

pub const KINDS: [Kind; 3] = [Kind::Along, Kind::Across, Kind::Slanted];

/// A run of groups (over two rounds of the ring) and the kind of its wall.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub from: usize,
    pub to: usize,
    pub wall: Kind,
}

/// A state of the search: the lowest cost, the first group of the last wall, and the kind of the wall before.
#[derive(Clone, Copy)]
pub struct Reached {
    pub cost: f64,
    pub begin: u32,
    pub before: u8,
}

pub const UNREACHED: Reached = Reached { cost: f64::INFINITY, begin: 0, before: 3 };

/// The optimal division of the whole ring that starts at group `cut`; consecutive walls differ in kind.
pub fn best_cut(contour: &Contour, angle: f64, prices: Prices, cut: usize) -> Option<(Vec<Piece>, f64)> {
    let reached = search(contour, angle, prices, cut);
    // The first and the last wall are neighbours too.
    let (pieces, cost) = trace_back(&reached, cut, |first, last| first != last)?;
    (pieces.len() >= 3).then_some((pieces, cost))
}

/// The optimal division of an open run of groups.
pub fn best_walls(contour: &Contour, angle: f64, prices: Prices) -> Option<Vec<Piece>> {
    if contour.groups < 3 {
        // Two points fit any wall: take the direction of their edges instead.
        let (xx, xy, yy) = contour.run(0, contour.groups).scatter();
        let (sin, cos) = angle.sin_cos();
        let along = sin * sin * xx - 2.0 * sin * cos * xy + cos * cos * yy;
        let across = cos * cos * xx + 2.0 * sin * cos * xy + sin * sin * yy;
        let wall = if along <= across { Kind::Along } else { Kind::Across };
        return Some(vec![Piece { from: 0, to: contour.groups, wall }]);
    }
    let reached = search(contour, angle, prices, 0);
    trace_back(&reached, 0, |_, _| true).map(|(pieces, _)| pieces)
}

/// `states[i][first][last]`: the first i groups, by the kinds of the first and the last wall.
pub type States = Vec<[[Reached; 3]; 3]>;

/// Computes all states of the search.
pub fn search(contour: &Contour, angle: f64, prices: Prices, cut: usize) -> States {
    let groups = contour.groups;
    let (sin, cos) = angle.sin_cos();
    let (sin2, cos2) = (2.0 * angle).sin_cos();
    let mut reached = vec![[[UNREACHED; 3]; 3]; groups + 1];
    for end in 1..=groups {
        let mut states = [[UNREACHED; 3]; 3];
        let mut bound = f64::INFINITY;
        for begin in (0..end).rev() {
            let run = contour.run(cut + begin, cut + end);
            let (xx, xy, yy) = run.scatter();
            // The smaller eigenvalue is the residual of a slanted wall, and the lower bound of any.
            let middle = (xx + yy) / 2.0;
            let spread = ((xx - yy) / 2.0).hypot(xy);
            if middle - spread > bound {
                // The residual only grows with longer runs.
                break;
            }
            let along = sin * sin * xx - 2.0 * sin * cos * xy + cos * cos * yy;
            let across = cos * cos * xx + 2.0 * sin * cos * xy + sin * sin * yy;
            // Slanted walls must differ clearly from the axis: others would meet it at grazing angles.
            let slants = (xy * cos2 - (xx - yy) / 2.0 * sin2).abs() > 0.6 * spread && end - begin >= 3;
            let slanted = if slants { middle - spread + prices.slanted } else { f64::INFINITY };
            for (wall, price) in [along + prices.wall, across + prices.wall, slanted].into_iter().enumerate() {
                if begin == 0 {
                    if price < states[wall][wall].cost {
                        states[wall][wall] = Reached { cost: price, begin: 0, before: 3 };
                    }
                    continue;
                }
                for (first, states) in states.iter_mut().enumerate() {
                    for before in (0..3).filter(|&before| before != wall) {
                        let total = reached[begin][first][before].cost + price;
                        if total < states[wall].cost {
                            states[wall] = Reached { cost: total, begin: begin as u32, before: before as u8 };
                        }
                    }
                }
            }
            let worst = states.iter().flatten().map(|state| state.cost).fold(0.0, f64::max);
            let least = states.iter().flatten().map(|state| state.cost).fold(f64::INFINITY, f64::min);
            // A state that costs more than another one plus four walls cannot be part of the optimum.
            bound = worst.min(least + 4.0 * prices.slanted.max(prices.wall));
        }
        reached[end] = states;
    }
    reached
}

/// The optimal division among those whose kinds of first and last wall satisfy `may`, and its cost.
pub fn trace_back(reached: &States, cut: usize, may: impl Fn(usize, usize) -> bool) -> Option<(Vec<Piece>, f64)> {
    let groups = reached.len() - 1;
    let (mut first, mut last, mut least) = (0, 0, f64::INFINITY);
    for (one, states) in reached[groups].iter().enumerate() {
        for (other, state) in states.iter().enumerate().filter(|&(other, _)| may(one, other)) {
            if state.cost < least {
                (first, last, least) = (one, other, state.cost);
            }
        }
    }
    if least.is_infinite() {
        return None;
    }
    let mut pieces = Vec::new();
    let (mut end, mut wall) = (groups, last);
    loop {
        let state = reached[end][first][wall];
        let begin = state.begin as usize;
        pieces.push(Piece { from: cut + begin, to: cut + end, wall: KINDS[wall] });
        if begin == 0 {
            break;
        }
        (end, wall) = (begin, usize::from(state.before));
    }
    pieces.reverse();
    Some((pieces, least))
}
