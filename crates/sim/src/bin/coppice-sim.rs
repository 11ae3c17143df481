//! Runs the suites at any length: what a release wants, where the tests have time for a sample only.
//!
//! `coppice-sim SUITE FIRST_SEED COUNT [THREADS]` prints one line: how many seeds, and figures; or fails with what was found.
//! COUNT may be a time instead, such as `60s`: then no seed is begun after that. With the suites `kill` and `power`, COUNT
//! is how often a writer is ended, half of it at 'process' and half at 'disk'.
//!
//! `coppice-sim defects [NAME...]` plants defects, and prints which suite catches each.

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use coppice_defect::Defect;
use coppice_engine::Durability;
use coppice_sim::{
    Checked, Figures, Hunted, Killed, LoopMount, NO_DEFECT, Soaked, Task, agreement_suite, backup_suite, crash_suite,
    damage_suite, defect_named, failed_sync_suite, fault_suite, hunt, hunt_here, line, run_seeds, salvage_suite, soak,
};

/// How much to do.
#[derive(Clone, Copy)]
enum Amount {
    Count(u64),
    Seconds(u64),
}

impl Amount {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('s') {
            Some(seconds) => seconds.parse().ok().map(Self::Seconds),
            None => text.parse().ok().map(Self::Count),
        }
    }
}

fn seeds<F: Figures>(
    first: u64,
    amount: Amount,
    threads: usize,
    suite: impl Fn(u64) -> Checked<F> + Sync + std::panic::RefUnwindSafe,
) -> Checked<String> {
    let (end, until) = match amount {
        Amount::Count(count) => (first + count, None),
        Amount::Seconds(seconds) => (u64::MAX, Some(Instant::now() + Duration::from_secs(seconds))),
    };
    let (end, figures) = run_seeds(first..end, threads, until, suite)?;
    Ok(format!("{} seeds, {}", end - first, line(&figures)))
}

fn ended(place: &str, seed: u64, rounds: u64) -> Result<String, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut all = Soaked::default();
    for (index, durability) in [Durability::Process, Durability::Disk].into_iter().enumerate() {
        let folder = env::temp_dir().join(format!("coppice-sim-{}-{index}", std::process::id()));
        std::fs::create_dir(&folder).map_err(|error| error.to_string())?;
        let rounds = rounds.div_ceil(2);
        let soaked = if place == "kill" {
            soak(&program, &mut Killed(folder.clone()), durability, seed, rounds)
        } else {
            let mut mount = LoopMount::make(&folder).map_err(|error| error.to_string())?;
            soak(&program, &mut mount, durability, seed, rounds)
        };
        all.add(&soaked.map_err(|violation| violation.to_string())?);
        std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    }
    Ok(line(&all))
}

fn known(name: &str) -> Result<Defect, String> {
    defect_named(name).ok_or_else(|| format!("there is no defect {name}"))
}

/// Hunts the defects of these names, or all of them, and lists what became of each.
fn defects(names: &[String]) -> Result<String, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let named: Vec<Defect> = names.iter().map(|name| known(name)).collect::<Result<_, _>>()?;
    let mut missed = Vec::new();
    let mut caught = 0;
    for defect in if names.is_empty() { Defect::ALL } else { &named } {
        match hunt(&program, Some(*defect)).map_err(|violation| violation.to_string())? {
            Hunted::Caught { suite, seed, how } => {
                caught += 1;
                println!("{defect:?}\t{suite}\t{seed}\t{}\t{how}", defect.what().trim());
            }
            Hunted::Missed => missed.push(format!("{defect:?}")),
        }
    }
    match missed[..] {
        [] => Ok(format!("{caught} defects caught")),
        _ => Err(format!("{caught} defects caught, not caught: {}", missed.join(", "))),
    }
}

fn run(args: &[String]) -> Result<String, String> {
    let usage = || {
        "usage: coppice-sim agree|crash|faults|syncs|damage|salvage|backups|kill|power FIRST_SEED COUNT [THREADS]\n       coppice-sim defects [NAME...]".to_owned()
    };
    let (suite, rest) = args.split_first().ok_or_else(usage)?;
    if suite == "write" {
        let task = Task::from_args(rest).ok_or_else(usage)?;
        return task.write().map(|()| String::new()).map_err(|error| error.to_string());
    }
    if suite == "hunt" {
        let [name] = rest else { return Err(usage()) };
        hunt_here((name != NO_DEFECT).then(|| known(name)).transpose()?);
        return Ok(String::new());
    }
    if suite == "defects" {
        return defects(rest);
    }
    let number = |index: usize| rest.get(index).and_then(|text| text.parse::<u64>().ok());
    let amount = rest.get(1).and_then(|text| Amount::parse(text));
    let (first, amount) = number(0).zip(amount).ok_or_else(usage)?;
    let threads = number(2).unwrap_or(1) as usize;
    let figures = match suite.as_str() {
        "agree" => seeds(first, amount, threads, agreement_suite),
        "crash" => seeds(first, amount, threads, crash_suite),
        "faults" => seeds(first, amount, threads, fault_suite),
        "syncs" => seeds(first, amount, threads, failed_sync_suite),
        "backups" => seeds(first, amount, threads, backup_suite),
        "damage" => seeds(first, amount, threads, damage_suite),
        "salvage" => seeds(first, amount, threads, salvage_suite),
        "kill" | "power" => match amount {
            Amount::Count(count) => return ended(suite, first, count),
            Amount::Seconds(_) => return Err(usage()),
        },
        _ => return Err(usage()),
    };
    figures.map_err(|violation| violation.to_string())
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match run(&args) {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
