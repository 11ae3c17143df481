//! What a power cut leaves of what was not synced.

use fastrand::Rng;

use crate::{
    contents::Contents,
    medium::{File, FileId, Unsynced},
};

/// Which of the changes since the last sync persist.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Keep {
    Nothing,
    Everything,
    /// Those up to this one, as a disk without a cache of its own would.
    Upto(u64),
    /// Each call whole or not at all, with this probability, in any order.
    Calls(f64),
    /// Each sector of this many bytes by itself, with this probability.
    Sectors(usize, f64),
    /// All but this one.
    AllBut(u64),
    /// This one alone.
    Only(u64),
}

/// What stands where a file grew and its bytes did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filler {
    /// The file did not grow either.
    Absent,
    Zeros,
    Garbage,
    /// What another file, perhaps a removed one, had at that place.
    Old,
}

/// One way for power to fail. Which changes it keeps is drawn from the generator that [`crate::Medium::power_cut`] gets.
#[derive(Clone, Debug)]
pub struct CutStyle {
    keep: Keep,
    /// Of a change of a name; `None`: as any other change.
    names: Option<f64>,
    filler: Filler,
}

impl CutStyle {
    /// Only what was synced is left.
    pub fn synced() -> Self {
        Self {
            keep: Keep::Nothing,
            names: None,
            filler: Filler::Absent,
        }
    }

    /// A style for a disk on which `changes` changes were made.
    pub fn random(changes: u64, rng: &mut Rng) -> Self {
        let chance = |rng: &mut Rng| [0.05, 0.3, 0.5, 0.7, 0.95][rng.usize(..5)];
        let recent = |rng: &mut Rng| changes.saturating_sub(rng.u64(..12));
        let keep = match rng.u32(..16) {
            0 => Keep::Nothing,
            1 => Keep::Everything,
            2..4 => Keep::Upto(recent(rng)),
            4..6 => Keep::AllBut(recent(rng)),
            6..8 => Keep::Only(recent(rng)),
            8..11 => Keep::Calls(chance(rng)),
            11..14 => Keep::Sectors(512, chance(rng)),
            _ => Keep::Sectors(4096, chance(rng)),
        };
        let filler = [
            Filler::Absent,
            Filler::Absent,
            Filler::Zeros,
            Filler::Garbage,
            Filler::Old,
        ][rng.usize(..5)];
        let names = rng.bool().then(|| chance(rng));
        Self { keep, names, filler }
    }

    fn keeps(&self, at: u64, rng: &mut Rng) -> bool {
        match self.keep {
            Keep::Nothing => false,
            Keep::Everything => true,
            Keep::Upto(last) => at <= last,
            Keep::Calls(chance) | Keep::Sectors(_, chance) => rng.f64() < chance,
            Keep::AllBut(one) => at != one,
            Keep::Only(one) => at == one,
        }
    }

    pub(crate) fn keeps_name(&self, at: u64, rng: &mut Rng) -> bool {
        match self.names {
            Some(chance) => rng.f64() < chance,
            None => self.keeps(at, rng),
        }
    }

    /// What is left of a file.
    pub(crate) fn cut_file(&self, files: &[File], id: FileId, rng: &mut Rng) -> Contents {
        let file = &files[id];
        let mut left = file.durable.clone();
        for pending in &file.pending {
            match &pending.what {
                Unsynced::SetLen(len) => {
                    if self.keeps(pending.at, rng) {
                        left.set_len(*len);
                    }
                }
                Unsynced::Write(offset, bytes) => {
                    let mut done = 0;
                    while done < bytes.len() {
                        let at = offset + done as u64;
                        let piece = match self.keep {
                            Keep::Sectors(sector, _) => (sector - at as usize % sector).min(bytes.len() - done),
                            _ => bytes.len() - done,
                        };
                        let piece = &bytes[done..done + piece];
                        if self.keeps(pending.at, rng) {
                            left.write(at, piece);
                        } else if at + piece.len() as u64 > file.durable.len() {
                            self.fill(&mut left, files, at, piece.len(), rng);
                        }
                        done += piece.len();
                    }
                }
            }
        }
        left
    }

    fn fill(&self, left: &mut Contents, files: &[File], at: u64, len: usize, rng: &mut Rng) {
        let mut bytes = vec![0; len];
        match self.filler {
            Filler::Absent => return,
            Filler::Zeros => {}
            Filler::Garbage => rng.fill(&mut bytes),
            Filler::Old => {
                files[rng.usize(..files.len())].durable.read(at, &mut bytes);
            }
        }
        left.write(at, &bytes);
    }
}
