//! The ring itself: the one place where memory is handed to the kernel.
//!
//! What makes it sound, in short (docs/unsafe.md has the argument): the buffers belong to the ring, a buffer is given out
//! only while no command of its slot is under way, every command stays within its own buffer, and buffers that the kernel
//! may still use are never freed.

#![expect(unsafe_code, reason = "the kernel is given addresses; argued in docs/unsafe.md")]

#[cfg(test)]
mod tests;

use std::{fs::File, io, mem, os::fd::AsRawFd};

use io_uring::{IoUring, opcode, types::Fixed, types::FsyncFlags};

use super::transfer::{Command, Queue};
use crate::aligned::AlignedBuffer;

/// A ring with a registered file and a registered buffer for each slot.
pub(super) struct Ring {
    ring: IoUring,
    buffers: Vec<AlignedBuffer>,
    /// Of each slot: whether a command is prepared or submitted and has not completed.
    under_way: Vec<bool>,
    slot_bytes: usize,
    /// The kernel failed in a way that leaves it open what is under way.
    broken: bool,
}

impl Ring {
    /// A ring on a file, which the kernel keeps open for it. `slot_bytes` is a multiple of a page.
    pub(super) fn new(file: &File, slots: usize, slot_bytes: usize) -> io::Result<Self> {
        let ring = IoUring::builder().dontfork().build(slots as u32)?;
        let mut buffers: Vec<AlignedBuffer> = (0..slots).map(|_| AlignedBuffer::zeroed(slot_bytes)).collect();
        let vectors: Vec<libc::iovec> = buffers
            .iter_mut()
            .map(|buffer| libc::iovec {
                iov_base: buffer.bytes_mut().as_mut_ptr().cast(),
                iov_len: slot_bytes,
            })
            .collect();
        ring.submitter().register_files(&[file.as_raw_fd()])?;
        // SAFETY: each vector names the memory of one buffer, all of it, which the ring owns from here on: it is neither
        // moved nor freed before the ring is, unless nothing is under way.
        unsafe { ring.submitter().register_buffers(&vectors)? };
        Ok(Self {
            ring,
            buffers,
            under_way: vec![false; slots],
            slot_bytes,
            broken: false,
        })
    }

    fn check(&self) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("io_uring failed before, and is not used any more"));
        }
        Ok(())
    }

    /// The address of `len` bytes of a slot's buffer, from `start` on.
    fn address(&mut self, slot: usize, start: usize, len: usize) -> io::Result<*mut u8> {
        let bytes = self.buffers.get_mut(slot).map(AlignedBuffer::bytes_mut);
        let part = bytes.and_then(|bytes| bytes.get_mut(start..)?.get_mut(..len));
        part.map(<[u8]>::as_mut_ptr)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a transfer beyond its buffer"))
    }

    fn push(&mut self, slot: usize, command: Command) -> io::Result<()> {
        if self.under_way.get(slot) != Some(&false) {
            return Err(io::Error::other("a slot was asked for two things at once"));
        }
        let file = Fixed(0);
        let index = slot as u16;
        let entry = match command {
            Command::Write { offset, start, len } => {
                let address = self.address(slot, start, len)?;
                opcode::WriteFixed::new(file, address, len as u32, index)
                    .offset(offset)
                    .build()
            }
            Command::Read { offset, start, len } => {
                let address = self.address(slot, start, len)?;
                opcode::ReadFixed::new(file, address, len as u32, index)
                    .offset(offset)
                    .build()
            }
            Command::Sync => opcode::Fsync::new(file).flags(FsyncFlags::DATASYNC).build(),
        };
        // SAFETY: the entry names the registered file and, if any memory, a part of the slot's own registered buffer, which
        // nobody touches until the command has completed: `buffer` gives it out to nobody while `under_way` says so, and
        // `drop` does not free it.
        let pushed = unsafe { self.ring.submission().push(&entry.user_data(slot as u64)) };
        if pushed.is_err() {
            return Err(io::Error::other("the submission queue is full"));
        }
        if let Some(under_way) = self.under_way.get_mut(slot) {
            *under_way = true;
        }
        Ok(())
    }
}

impl Queue for Ring {
    fn slots(&self) -> usize {
        self.buffers.len()
    }

    fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    fn buffer(&mut self, slot: usize) -> &mut [u8] {
        if self.under_way.get(slot) != Some(&false) {
            return &mut [];
        }
        self.buffers
            .get_mut(slot)
            .map(AlignedBuffer::bytes_mut)
            .unwrap_or_default()
    }

    fn prepare(&mut self, slot: usize, command: Command) -> io::Result<()> {
        self.check()?;
        self.push(slot, command).inspect_err(|_| self.broken = true)
    }

    fn submit_and_wait(&mut self, completions: usize) -> io::Result<()> {
        self.check()?;
        loop {
            match self.ring.submit_and_wait(completions) {
                // What was not submitted is still in the queue, and goes with the next call.
                Ok(_) if self.ring.submission().is_empty() => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The kernel is short of memory, or wants completions to be taken first.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY)) => {
                    std::thread::yield_now();
                    if !self.ring.completion().is_empty() {
                        return Ok(());
                    }
                }
                Err(error) => {
                    self.broken = true;
                    return Err(error);
                }
            }
        }
    }

    fn completion(&mut self) -> Option<(usize, i32)> {
        let entry = self.ring.completion().next()?;
        let slot = entry.user_data() as usize;
        match self.under_way.get_mut(slot) {
            Some(under_way) if *under_way => *under_way = false,
            _ => {
                self.broken = true;
                return None;
            }
        }
        Some((slot, entry.result()))
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.under_way.contains(&true) {
            // The kernel may still read or write them.
            mem::forget(mem::take(&mut self.buffers));
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("slots", &self.buffers.len())
            .field("slot_bytes", &self.slot_bytes)
            .finish_non_exhaustive()
    }
}
