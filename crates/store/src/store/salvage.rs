//! What is left of a damaged database's store: read, never written.
//!
//! The superblock, `blobs` and the map log each say whose they are; what most of them say counts. Of the slot map counts what
//! its log still says (slot_log/salvage.rs). Each blob that the map names is checked against its digest when it is read, as
//! ever, so a wrong place in the map cannot make a wrong answer.

use std::io;

use coppice_disk::{Disk, check_openable};

use super::{BLOBS_NAME, entry_to_read, lifecycle};
use crate::{
    BlobId, BlobInfo,
    blob_store::BlobStore,
    digest::blob_digest,
    error::{IoContext, StoreError},
    extent::PAGE_BYTES,
    file_store::FileStore,
    header::{FileKind, HEADER_BYTES, Header},
    slot_log::{LogRemains, Witness, generation_of, log_name, salvage},
    slot_map::MapEntry,
    superblock::{self, SUPERBLOCK_NAME},
};

/// What may be read to prove entries of damaged records, for each byte of the file of blobs: so that a log that claims
/// the same places again and again is given up.
const PROOF_READS: u64 = 4;

/// The blobs of a database that may be damaged.
#[derive(Debug)]
pub struct Remains {
    header: Header,
    blobs: Option<FileStore>,
    log: LogRemains,
    /// Whether the log is not the newest, so that all of it may be out of date.
    is_old: bool,
}

/// Proves entries by the blobs that they name.
struct Proof<'p> {
    database_id: u128,
    blobs: Option<&'p FileStore>,
    pages: u32,
    buffer: Vec<u8>,
    /// How many more bytes may be read.
    budget: u64,
    is_last: &'p dyn Fn(u64) -> bool,
}

impl Remains {
    /// Looks for what is left in a folder. `is_last` says whether the journal of the database with this id goes on behind this
    /// cut, without a gap. Everything that is wrong with the files is returned beside it.
    ///
    /// # Errors
    /// `NotADatabase` where there is no file of one; `Incompatible` where none can be read, one of them for its format;
    /// `Corrupt` where none of them says whose it is; `Io` where the folder cannot be listed, or a file of blobs or of the map is
    /// there and cannot be opened: that is not lost.
    pub fn find(disk: &dyn Disk, is_last: &dyn Fn(u128, u64) -> bool) -> Result<(Self, Vec<StoreError>), StoreError> {
        let names = lifecycle::list(disk)?;
        let mut generations: Vec<u64> = names.iter().filter_map(|name| generation_of(name)).collect();
        generations.sort_unstable();
        check_files(disk, &generations)?;
        let mut problems = Vec::new();
        let header = whose(disk, &names, &generations, &mut problems)?;
        let mut remains = Self {
            header,
            blobs: None,
            log: LogRemains::default(),
            is_old: false,
        };
        match disk.open(BLOBS_NAME) {
            Ok(file) => {
                let blobs = FileStore::new(file);
                problems.extend(lifecycle::check_first_page(&blobs, header).err());
                remains.blobs = Some(blobs);
            }
            Err(source) => problems.push(missing(BLOBS_NAME, &source)),
        }
        remains.read_map(disk, &generations, is_last, &mut problems);
        Ok((remains, problems))
    }

    /// Takes the newest log that says anything.
    fn read_map(
        &mut self,
        disk: &dyn Disk,
        generations: &[u64],
        is_last: &dyn Fn(u128, u64) -> bool,
        problems: &mut Vec<StoreError>,
    ) {
        if generations.is_empty() {
            problems.push(StoreError::corrupt(&log_name(1), 0, "the map log is missing"));
        }
        let database_id = self.header.database_id;
        let pages = self
            .blobs
            .as_ref()
            .and_then(|blobs| blobs.len_pages().ok())
            .unwrap_or(0);
        let mut proof = Proof {
            database_id,
            blobs: self.blobs.as_ref(),
            pages,
            buffer: Vec::new(),
            budget: u64::from(pages) * u64::from(PAGE_BYTES) * PROOF_READS,
            is_last: &|cut| is_last(database_id, cut),
        };
        for generation in generations.iter().rev() {
            let header = Header {
                generation: *generation,
                ..self.header
            };
            match salvage(disk, header, &mut proof) {
                Ok(mut log) => {
                    problems.append(&mut log.problems);
                    if !log.is_empty() {
                        self.log = log;
                        return;
                    }
                }
                Err(error) => problems.push(error),
            }
            self.is_old = true;
        }
    }

    /// What tells the database from every other.
    pub fn database_id(&self) -> u128 {
        self.header.database_id
    }

    /// The size of the database's frames, bytes.
    pub fn frame_bytes(&self) -> u32 {
        self.header.frame_bytes
    }

    /// The commit sequence number that the map is the state of, or one before it.
    pub fn cut(&self) -> u64 {
        self.log.point.cut
    }

    /// Whether the map does not say what it is the state of: then [`Remains::cut`] is perhaps too low.
    pub fn is_cut_lost(&self) -> bool {
        self.log.is_cut_lost
    }

    /// Every blob that the map names.
    pub fn blobs(&self) -> impl Iterator<Item = (BlobId, BlobInfo)> {
        self.log.map.iter().map(|(blob, entry)| (blob, entry.info()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.log.map.blobs() as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the map says of a blob.
    pub fn info(&self, blob: BlobId) -> Option<BlobInfo> {
        Some(self.log.map.get(blob)?.info())
    }

    /// Whether the map may have said something else of the blob before it was damaged: then what is read is a blob of the
    /// database, but perhaps not as it was last, or another one's of that number.
    pub fn is_in_doubt(&self, blob: BlobId) -> bool {
        let before = self.log.in_doubt.get(blob);
        self.is_old || (before.is_some() && before == self.log.map.get(blob))
    }

    /// In which file a blob lies, and where, bytes.
    pub fn place(&self, blob: BlobId) -> Option<(&'static str, u64)> {
        Some((BLOBS_NAME, self.log.map.get(blob)?.extent().offset_bytes()))
    }

    /// Reads a blob whole. `into` is exactly as long as the blob.
    ///
    /// # Errors
    /// As of [`Store::read`](super::Store::read), but that a disk that fails is damage.
    pub fn read(&self, blob: BlobId, into: &mut [u8]) -> Result<(), StoreError> {
        let entry = entry_to_read(&self.log.map, blob, into)?;
        let corrupt = |what: &str| StoreError::corrupt_blob(BLOBS_NAME, entry.extent().offset_bytes(), blob, what);
        let blobs = self.blobs.as_ref().ok_or_else(|| corrupt("the file cannot be read"))?;
        match blobs.read(entry.extent(), into) {
            Ok(()) if blob_digest(self.header.database_id, blob, into) == entry.digest() => Ok(()),
            Ok(()) => Err(corrupt("its bytes fail their digest")),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(corrupt("the file ends before it does")),
            Err(error) => Err(corrupt(&error.to_string())),
        }
    }
}

impl Witness for Proof<'_> {
    fn proves(&mut self, blob: BlobId, entry: MapEntry) -> bool {
        let bytes = entry.info().bytes as usize;
        let (Some(blobs), true) = (self.blobs, entry.extent().end() <= self.pages) else {
            return false;
        };
        let Some(budget) = self.budget.checked_sub(bytes as u64) else {
            return false;
        };
        self.budget = budget;
        self.buffer.resize(bytes, 0);
        let read = blobs.read(entry.extent(), &mut self.buffer);
        read.is_ok() && blob_digest(self.database_id, blob, &self.buffer) == entry.digest()
    }

    fn is_last(&self, cut: u64) -> bool {
        (self.is_last)(cut)
    }
}

/// Fails where a file that has what no other has cannot be opened. What is no regular file is none of ours.
fn check_files(disk: &dyn Disk, generations: &[u64]) -> Result<(), StoreError> {
    let logs = generations.iter().map(|generation| log_name(*generation));
    let mut names = logs.chain([BLOBS_NAME.to_owned()]);
    names.try_for_each(|name| check_openable(disk, &name).context(|| format!("opening {name}")))
}

fn missing(name: &str, source: &io::Error) -> StoreError {
    StoreError::corrupt(name, 0, format!("it cannot be opened: {source}"))
}

/// What most of the files say whose they are; the map log has the last word, since without it nothing is found.
fn whose(
    disk: &dyn Disk,
    names: &[String],
    generations: &[u64],
    problems: &mut Vec<StoreError>,
) -> Result<Header, StoreError> {
    let superblock = header_of(disk, SUPERBLOCK_NAME, FileKind::Superblock);
    let blobs = header_of(disk, BLOBS_NAME, FileKind::Blobs);
    let logs: Vec<Result<Header, StoreError>> = generations
        .iter()
        .rev()
        .map(|generation| header_of(disk, &log_name(*generation), FileKind::MapLog))
        .collect();
    let log = logs.iter().flatten().next();
    let votes: Vec<Header> = [superblock.as_ref().ok(), blobs.as_ref().ok(), log]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    let count = |header: &Header| votes.iter().filter(|vote| *vote == header).count();
    // Of those with as many votes, the last one is chosen.
    let Some(chosen) = votes.iter().copied().max_by_key(count) else {
        let mut errors = [superblock, blobs].into_iter().chain(logs).filter_map(Result::err);
        if let Some(error) = errors.find(|error| matches!(error, StoreError::Incompatible { .. })) {
            return Err(error);
        }
        let is_database = names
            .iter()
            .any(|name| name == SUPERBLOCK_NAME || lifecycle::is_ours(name));
        return Err(match is_database {
            true => StoreError::corrupt(SUPERBLOCK_NAME, 0, "no file says which database this was"),
            false => StoreError::NotADatabase { folder: disk.label() },
        });
    };
    match superblock {
        Err(error) => problems.push(error),
        Ok(header) if header != chosen => {
            problems.push(StoreError::corrupt(
                SUPERBLOCK_NAME,
                0,
                "it belongs to another database",
            ));
        }
        Ok(_) => {}
    }
    Ok(chosen)
}

/// What a file's header says, but for the generation.
fn header_of(disk: &dyn Disk, name: &str, kind: FileKind) -> Result<Header, StoreError> {
    let file = disk.open(name).map_err(|source| missing(name, &source))?;
    let mut bytes = [0; HEADER_BYTES];
    file.read_exact_at(0, &mut bytes)
        .map_err(|_| StoreError::corrupt(name, 0, "it ends within its header"))?;
    let header = Header::decode(&bytes, kind, name)?;
    if !superblock::is_frame_size(header.frame_bytes) {
        return Err(StoreError::corrupt(name, 12, "it states an impossible size of frames"));
    }
    Ok(Header {
        generation: 0,
        ..header
    })
}
