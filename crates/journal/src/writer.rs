//! What appends work on: the active segment, the ones before it, and the records of one append on their way.
//!
//! No locks and no policy: `journal` decides when anything here happens.

use std::{collections::VecDeque, io, sync::Arc};

use coppice_disk::{Disk, DiskFile, is_no_space};

use crate::{
    Error, Op,
    header::{HEADER_BYTES, Header, SegmentKey},
    record::{self, Place},
    segment::{self, file_name},
};

/// The append buffer is given back beyond this.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Writer {
    /// Segments before the active one, oldest first.
    pub(crate) older: VecDeque<OldSegment>,
    pub(crate) active: ActiveSegment,
    pub(crate) last_sequence: u64,
    /// One append's records.
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OldSegment {
    pub(crate) number: u64,
    pub(crate) first_sequence: u64,
    /// Of its records.
    pub(crate) bytes: u64,
}

/// The segment with the highest number.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    pub(crate) number: u64,
    pub(crate) first_sequence: u64,
    pub(crate) key: SegmentKey,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Where the next record goes.
    pub(crate) position: u64,
    /// The digest of the last record, or the header's.
    pub(crate) chain: u64,
    /// Appends refused for want of room so far.
    pub(crate) attempt: u16,
    /// Takes no more records: the next append begins a new segment.
    pub(crate) sealed: bool,
}

/// Why a write did not happen, and what that means for the next one.
#[derive(Debug)]
pub(crate) struct WriteError {
    pub(crate) context: String,
    pub(crate) source: io::Error,
    /// The disk was full before anything that counts had happened.
    pub(crate) survivable: bool,
}

impl WriteError {
    /// A failed write or rename.
    fn write(context: String, source: io::Error) -> Self {
        let survivable = is_no_space(&source);
        Self {
            context,
            source,
            survivable,
        }
    }

    /// Any other failure, a sync's above all: never survivable, whatever its reason.
    fn fatal(context: String, source: io::Error) -> Self {
        Self {
            context,
            source,
            survivable: false,
        }
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        let WriteError {
            context,
            source,
            survivable,
        } = error;
        let source = Arc::new(source);
        if survivable {
            Error::NoSpace { context, source }
        } else {
            Error::Io { context, source }
        }
    }
}

impl Writer {
    pub(crate) fn new(older: VecDeque<OldSegment>, active: ActiveSegment, last_sequence: u64) -> Self {
        Self {
            older,
            active,
            last_sequence,
            buffer: Vec::new(),
        }
    }

    /// Writes the operations behind the active segment's last record, with the sequence numbers that follow, and
    /// returns how many bytes. Their sizes have been checked.
    pub(crate) fn write(&mut self, ops: &[Op<'_>], durable_upto: u64) -> Result<u64, WriteError> {
        let Self {
            active,
            buffer,
            last_sequence,
            ..
        } = self;
        buffer.clear();
        let mut sequence = *last_sequence;
        let mut chain = active.chain;
        for op in ops {
            sequence += 1;
            let place = Place {
                offset: active.position + buffer.len() as u64,
                chain,
                key: active.key,
                attempt: active.attempt,
            };
            chain = record::encode(buffer, op, sequence, durable_upto, place);
        }
        let written = buffer.len() as u64;
        let result = active.file.write_all_at(active.position, buffer);
        if buffer.capacity() > KEPT_BUFFER_BYTES {
            *buffer = Vec::new();
        }
        if let Err(error) = result {
            let error = WriteError::write(format!("appending to {}", file_name(active.number)), error);
            return Err(if error.survivable {
                active.take_back(error)
            } else {
                error
            });
        }
        active.position += written;
        active.chain = chain;
        *last_sequence = sequence;
        Ok(written)
    }

    /// Puts a new segment behind the active one.
    pub(crate) fn follow(&mut self, active: ActiveSegment) {
        self.older.push_back(OldSegment {
            number: self.active.number,
            first_sequence: self.active.first_sequence,
            bytes: self.active.bytes(),
        });
        self.active = active;
    }

    /// The oldest segment's number, when the cut covers all of its records.
    pub(crate) fn oldest_if_covered(&self, cut: u64) -> Option<u64> {
        let oldest = self.older.front()?;
        let next = self
            .older
            .get(1)
            .map_or(self.active.first_sequence, |next| next.first_sequence);
        // Empty segments begin where their successor does.
        (next <= cut.saturating_add(1)).then_some(oldest.number)
    }

    /// The bytes of all records.
    pub(crate) fn bytes(&self) -> u64 {
        self.older.iter().map(|old| old.bytes).sum::<u64>() + self.active.bytes()
    }
}

impl ActiveSegment {
    /// Creates a segment: durable, header and name, on return.
    pub(crate) fn create(disk: &dyn Disk, header: &Header) -> Result<Self, WriteError> {
        let number = header.number;
        let (bytes, key) = header.encode();
        let result = Self::create_file(disk, number, &bytes);
        if result.is_err() {
            // Only tidiness: the next creation, or the next open, removes it too.
            let _ = segment::remove_temporary(disk, number);
        }
        Ok(Self {
            number,
            first_sequence: header.first_sequence,
            key,
            file: result?,
            position: HEADER_BYTES as u64,
            chain: key.0,
            attempt: 0,
            sealed: false,
        })
    }

    fn create_file(disk: &dyn Disk, number: u64, header: &[u8; HEADER_BYTES]) -> Result<Arc<dyn DiskFile>, WriteError> {
        let creating = || format!("creating {}", file_name(number));
        let file =
            segment::write_temporary(disk, number, header).map_err(|error| WriteError::write(creating(), error))?;
        file.sync_data().map_err(|error| WriteError::fatal(creating(), error))?;
        segment::name_temporary(disk, number).map_err(|error| WriteError::write(creating(), error))?;
        disk.sync().map_err(|error| WriteError::fatal(creating(), error))?;
        Ok(file)
    }

    /// Takes back what a refused append has written, so that recovery does not find the first few of its records, and
    /// gives the error that the caller gets.
    ///
    /// A power cut may undo the truncation and keep a later write: the attempt keeps what was refused from ever linking
    /// up with a record that is written over its beginning.
    fn take_back(&mut self, refusal: WriteError) -> WriteError {
        match self.attempt.checked_add(1) {
            Some(attempt) => self.attempt = attempt,
            None => self.sealed = true,
        }
        let position = self.position;
        let truncated = self.file.len().and_then(|len| match len > position {
            true => self.file.set_len(position),
            false => Ok(()),
        });
        match truncated {
            Ok(()) => refusal,
            Err(error) => WriteError::fatal(
                format!("taking back a refused append to {}", file_name(self.number)),
                error,
            ),
        }
    }

    /// The bytes of its records.
    pub(crate) fn bytes(&self) -> u64 {
        self.position - HEADER_BYTES as u64
    }

    pub(crate) fn has_records(&self) -> bool {
        self.bytes() > 0
    }
}
