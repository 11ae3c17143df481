//! Runs the suites at any length: what a release wants, where the tests have time for a sample only.
//!
//! `coppice-sim SUITE FIRST_SEED COUNT [THREADS]` prints one line of figures, or fails with what was found. With the suites
//! `kill` and `power`, COUNT is how often a writer is ended.

use std::{env, process::ExitCode};

use coppice_engine::Durability;
use coppice_sim::{
    Checked, Figures, Killed, LoopMount, Soaked, Task, agreement_suite, crash_suite, damage_suite, failed_sync_suite,
    fault_suite, line, run_seeds, soak,
};

fn seeds<F: Figures>(
    first: u64,
    count: u64,
    threads: usize,
    suite: impl Fn(u64) -> Checked<F> + Sync + std::panic::RefUnwindSafe,
) -> Checked<String> {
    run_seeds(first..first + count, threads, suite).map(|figures| line(&figures))
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

fn run(args: &[String]) -> Result<String, String> {
    let usage =
        || "usage: coppice-sim agree|crash|faults|syncs|damage|kill|power FIRST_SEED COUNT [THREADS]".to_owned();
    let (suite, rest) = args.split_first().ok_or_else(usage)?;
    if suite == "write" {
        let task = Task::from_args(rest).ok_or_else(usage)?;
        return task.write().map(|()| String::new()).map_err(|error| error.to_string());
    }
    let number = |index: usize| rest.get(index).and_then(|text| text.parse::<u64>().ok());
    let (first, count) = number(0).zip(number(1)).ok_or_else(usage)?;
    let threads = number(2).unwrap_or(1) as usize;
    let figures = match suite.as_str() {
        "agree" => seeds(first, count, threads, agreement_suite),
        "crash" => seeds(first, count, threads, crash_suite),
        "faults" => seeds(first, count, threads, fault_suite),
        "syncs" => seeds(first, count, threads, failed_sync_suite),
        "damage" => seeds(first, count, threads, damage_suite),
        "kill" | "power" => return ended(suite, first, count),
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
