//! Which part of a job this process computes: as the option says, or as the scheduler's variables do.

use std::str::FromStr;

/// Part `index` of `count`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    pub index: usize,
    pub count: usize,
}

/// More parts than scenes have rows of windows.
const MOST: usize = 10_000;

/// The variables of a scheduler: its name, the index, the first index and the step (where they are set), the count or the last
/// index.
struct Scheduler {
    name: &'static str,
    index: &'static str,
    first: Result<&'static str, usize>,
    step: Option<&'static str>,
    count: Option<&'static str>,
    last: Option<&'static str>,
}

/// The count where the scheduler sets none.
const COUNT: &str = "SEGEARTH_SHARDS";

const SCHEDULERS: &[Scheduler] = &[
    Scheduler {
        name: "Slurm",
        index: "SLURM_ARRAY_TASK_ID",
        first: Ok("SLURM_ARRAY_TASK_MIN"),
        step: Some("SLURM_ARRAY_TASK_STEP"),
        count: Some("SLURM_ARRAY_TASK_COUNT"),
        last: Some("SLURM_ARRAY_TASK_MAX"),
    },
    Scheduler {
        name: "AWS Batch",
        index: "AWS_BATCH_JOB_ARRAY_INDEX",
        first: Err(0),
        step: None,
        count: Some("AWS_BATCH_JOB_ARRAY_SIZE"),
        last: None,
    },
    Scheduler { name: "Kubernetes", index: "JOB_COMPLETION_INDEX", first: Err(0), step: None, count: None, last: None },
    Scheduler {
        name: "Google Batch",
        index: "BATCH_TASK_INDEX",
        first: Err(0),
        step: None,
        count: Some("BATCH_TASK_COUNT"),
        last: None,
    },
    Scheduler {
        name: "Grid Scheduler",
        index: "SGE_TASK_ID",
        first: Ok("SGE_TASK_FIRST"),
        step: Some("SGE_TASK_STEPSIZE"),
        count: None,
        last: Some("SGE_TASK_LAST"),
    },
    Scheduler { name: "PBS", index: "PBS_ARRAY_INDEX", first: Err(0), step: None, count: None, last: None },
];

impl FromStr for Shard {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        if written == "auto" {
            return Self::from_environment(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        }
        let numbers = written.split_once('/').and_then(|(index, count)| {
            Some((index.trim().parse::<usize>().ok()?, count.trim().parse::<usize>().ok()?))
        });
        let (index, count) = numbers.ok_or("write it as I/N, such as 3/8, or auto under a scheduler".to_owned())?;
        Self::new(index, count)
    }
}

impl Shard {
    fn new(index: usize, count: usize) -> Result<Self, String> {
        if count == 0 || count > MOST || index == 0 || index > count {
            return Err(format!("it is {index}/{count}; I must be from 1 to N, and N from 1 to {MOST}"));
        }
        Ok(Self { index, count })
    }

    fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let Some(scheduler) = SCHEDULERS.iter().find(|scheduler| variable(scheduler.index).is_some()) else {
            let names: Vec<&str> = SCHEDULERS.iter().map(|scheduler| scheduler.index).collect();
            return Err(format!("no scheduler sets the index of this task: none of {} is set", names.join(", ")));
        };
        let number = |name: &str| -> Result<Option<usize>, String> {
            let Some(value) = variable(name) else { return Ok(None) };
            let number = value.trim().parse().map_err(|_| format!("{name} is {value:?}, which is not a number"));
            number.map(Some)
        };
        let index = number(scheduler.index)?.unwrap_or(0);
        let first = match scheduler.first {
            Ok(name) => number(name)?.unwrap_or(1),
            Err(first) => first,
        };
        let step = scheduler.step.map(number).transpose()?.flatten().unwrap_or(1).max(1);
        let count = scheduler.count.map(number).transpose()?.flatten();
        let last = scheduler.last.map(number).transpose()?.flatten();
        let by_last = last.filter(|last| *last >= first).map(|last| (last - first) / step + 1);
        let Some(count) = number(COUNT)?.or(count).or(by_last) else {
            return Err(format!(
                "{} sets the index ({}={index}) but not the number of tasks: set {COUNT}",
                scheduler.name, scheduler.index
            ));
        };
        let Some(place) = index.checked_sub(first).filter(|beyond| beyond.is_multiple_of(step)) else {
            return Err(format!("{}={index} is not one of the tasks {first}, {}, …", scheduler.index, first + step));
        };
        Self::new(place / step + 1, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(variables: &[(&str, &str)]) -> Result<(usize, usize), String> {
        let find = |name: &str| variables.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned());
        Shard::from_environment(find).map(|shard| (shard.index, shard.count))
    }

    #[test]
    fn shard_is_read_from_each_scheduler() {
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "14"),
            ("SLURM_ARRAY_TASK_MIN", "10"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
            ("SLURM_ARRAY_TASK_COUNT", "8"),
        ];
        assert_eq!(auto(&slurm), Ok((3, 8)));
        assert_eq!(
            auto(&[("SLURM_ARRAY_TASK_ID", "0"), ("SLURM_ARRAY_TASK_MIN", "0"), ("SLURM_ARRAY_TASK_MAX", "7")]),
            Ok((1, 8))
        );
        assert_eq!(auto(&[("JOB_COMPLETION_INDEX", "4"), ("SEGEARTH_SHARDS", "5")]), Ok((5, 5)));
        assert_eq!(auto(&[("AWS_BATCH_JOB_ARRAY_INDEX", "0"), ("AWS_BATCH_JOB_ARRAY_SIZE", "3")]), Ok((1, 3)));
        assert_eq!(auto(&[("SGE_TASK_ID", "2"), ("SGE_TASK_FIRST", "1"), ("SGE_TASK_LAST", "4")]), Ok((2, 4)));
    }

    #[test]
    fn invalid_shard_is_refused() {
        assert!(auto(&[]).unwrap_err().contains("SLURM_ARRAY_TASK_ID"));
        assert!(auto(&[("JOB_COMPLETION_INDEX", "4")]).unwrap_err().contains("set SEGEARTH_SHARDS"));
        assert!(auto(&[("JOB_COMPLETION_INDEX", "four")]).unwrap_err().contains("which is not a number"));
        assert!(auto(&[("JOB_COMPLETION_INDEX", "5"), ("SEGEARTH_SHARDS", "5")]).is_err());
        let odd = [
            ("SLURM_ARRAY_TASK_ID", "3"),
            ("SLURM_ARRAY_TASK_MIN", "0"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
        ];
        assert!(auto(&odd).unwrap_err().contains("not one of the tasks 0, 2"));
        assert_eq!("3/8".parse(), Ok(Shard { index: 3, count: 8 }));
        for wrong in ["0/8", "9/8", "3", "3/0", "-1/8", "1/99999999", "a/b", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
