//! Transfers over a queue that does what a kernel may do.

use std::collections::VecDeque;

use super::*;
use crate::extent::Extent;

const PAGE: usize = PAGE_BYTES as usize;
const SLOTS: usize = 3;
const SLOT_BYTES: usize = 4 * PAGE;

/// What the next command that is carried out comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Whole,
    /// So many bytes of it.
    Short(usize),
    Error(Errno),
}

/// A file behind a queue whose kernel carries commands out last one first, and answers as it is told.
struct FakeQueue {
    buffers: Vec<Vec<u8>>,
    prepared: Vec<(usize, Command)>,
    under_way: Vec<(usize, Command)>,
    completed: VecDeque<(usize, i32)>,
    file: Vec<u8>,
    answers: VecDeque<Answer>,
    /// Commands of each submission.
    submissions: Vec<Vec<Command>>,
    broken: bool,
}

impl FakeQueue {
    fn new(answers: &[Answer]) -> Self {
        Self {
            buffers: vec![vec![0; SLOT_BYTES]; SLOTS],
            prepared: Vec::new(),
            under_way: Vec::new(),
            completed: VecDeque::new(),
            file: Vec::new(),
            answers: answers.iter().copied().collect(),
            submissions: Vec::new(),
            broken: false,
        }
    }

    fn carry_out(&mut self, slot: usize, command: Command) -> i32 {
        let answer = self.answers.pop_front().unwrap_or(Answer::Whole);
        let limit = match answer {
            Answer::Whole => usize::MAX,
            Answer::Short(bytes) => bytes,
            Answer::Error(errno) => return -errno.raw_os_error(),
        };
        match command {
            Command::Write { offset, start, len } => {
                let (offset, len) = (offset as usize, len.min(limit));
                if self.file.len() < offset + len {
                    self.file.resize(offset + len, 0);
                }
                self.file[offset..offset + len].copy_from_slice(&self.buffers[slot][start..start + len]);
                len as i32
            }
            Command::Read { offset, start, len } => {
                let rest = self.file.get(offset as usize..).unwrap_or_default();
                let len = len.min(limit).min(rest.len());
                self.buffers[slot][start..start + len].copy_from_slice(&rest[..len]);
                len as i32
            }
            Command::Sync => 0,
        }
    }
}

impl Queue for FakeQueue {
    fn slots(&self) -> usize {
        SLOTS
    }

    fn slot_bytes(&self) -> usize {
        SLOT_BYTES
    }

    fn buffer(&mut self, slot: usize) -> &mut [u8] {
        &mut self.buffers[slot]
    }

    fn prepare(&mut self, slot: usize, command: Command) -> io::Result<()> {
        self.prepared.push((slot, command));
        Ok(())
    }

    fn submit_and_wait(&mut self, completions: usize) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("broken"));
        }
        let batch = std::mem::take(&mut self.prepared);
        self.submissions
            .push(batch.iter().map(|(_, command)| *command).collect());
        self.under_way.extend(batch);
        assert!(
            completions <= self.under_way.len() + self.completed.len(),
            "a wait without end"
        );
        while self.completed.len() < completions {
            let (slot, command) = self.under_way.pop().unwrap();
            let result = self.carry_out(slot, command);
            self.completed.push_back((slot, result));
        }
        Ok(())
    }

    fn completion(&mut self) -> Option<(usize, i32)> {
        self.completed.pop_front()
    }
}

fn extent(start: u32, pages: u32) -> Extent {
    Extent::new(start, pages).unwrap()
}

fn image(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 97 % 251) as u8 + 1).collect()
}

fn write(queue: &mut FakeQueue, image: &[u8]) -> io::Result<()> {
    let batch = [(extent(0, (image.len() / PAGE) as u32), image)];
    write_all(queue, Pieces::new(&batch, SLOT_BYTES))
}

#[test]
fn slots_are_filled_before_the_first_submission() {
    let mut queue = FakeQueue::new(&[]);
    let image = image(40 * PAGE);
    write(&mut queue, &image).unwrap();
    assert!(queue.file == image);
    assert_eq!(queue.submissions[0].len(), SLOTS);
    assert!(
        queue.submissions.len() < 10,
        "{} submissions for ten pieces",
        queue.submissions.len()
    );
}

#[test]
fn a_short_write_is_continued_where_it_ended() {
    for short in [512, PAGE, SLOT_BYTES - 512, 1000] {
        let mut queue = FakeQueue::new(&[Answer::Short(short), Answer::Whole, Answer::Short(short)]);
        let image = image(10 * PAGE);
        write(&mut queue, &image).unwrap();
        assert!(queue.file == image, "after {short} bytes");
        let sectors = queue.submissions.iter().flatten().all(|command| match command {
            Command::Write { offset, start, len } => [*offset as usize, *start, *len].iter().all(|n| n % 512 == 0),
            _ => false,
        });
        assert!(sectors, "direct I/O takes whole sectors only");
    }
}

#[test]
fn interruptions_are_sent_again() {
    let mut queue = FakeQueue::new(&[
        Answer::Error(Errno::INTR),
        Answer::Error(Errno::AGAIN),
        Answer::Error(Errno::INTR),
    ]);
    let image = image(2 * SLOT_BYTES);
    write(&mut queue, &image).unwrap();
    assert!(queue.file == image);
}

#[test]
fn what_never_gets_on_is_an_error_in_the_end() {
    let mut queue = FakeQueue::new(&[Answer::Error(Errno::AGAIN); 2000]);
    assert_eq!(
        write(&mut queue, &image(PAGE)).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    let mut queue = FakeQueue::new(&[Answer::Short(0)]);
    assert_eq!(
        write(&mut queue, &image(PAGE)).unwrap_err().kind(),
        io::ErrorKind::WriteZero
    );
}

#[test]
fn after_a_failure_nothing_more_is_written_and_nothing_is_left_under_way() {
    let mut queue = FakeQueue::new(&[Answer::Whole, Answer::Error(Errno::NOSPC), Answer::Error(Errno::IO)]);
    let error = write(&mut queue, &image(100 * SLOT_BYTES)).unwrap_err();
    assert_eq!(
        error.kind(),
        io::ErrorKind::StorageFull,
        "the first error is the one that is told"
    );
    assert!(queue.under_way.is_empty() && queue.prepared.is_empty() && queue.completed.is_empty());
    let written: usize = queue.submissions.iter().map(Vec::len).sum();
    assert!(written <= 2 * SLOTS, "{written} commands");
}

#[test]
fn a_sync_is_alone_in_its_submission() {
    let mut queue = FakeQueue::new(&[]);
    write(&mut queue, &image(20 * PAGE)).unwrap();
    assert!(queue.under_way.is_empty());
    sync(&mut queue).unwrap();
    assert_eq!(queue.submissions.last().unwrap(), &[Command::Sync]);
    let syncs = queue
        .submissions
        .iter()
        .flatten()
        .filter(|command| **command == Command::Sync);
    assert_eq!(syncs.count(), 1);
}

#[test]
fn a_failed_sync_is_not_tried_again() {
    let mut queue = FakeQueue::new(&[Answer::Error(Errno::INTR)]);
    assert!(sync(&mut queue).is_err());
    assert_eq!(queue.submissions.len(), 1);
}

fn read(queue: &mut FakeQueue, reads: &[(Extent, usize)]) -> (Vec<Vec<u8>>, Vec<io::Result<()>>) {
    let mut into: Vec<Vec<u8>> = reads.iter().map(|(_, len)| vec![0; *len]).collect();
    let mut reads: Vec<BlobRead<'_>> = (reads.iter().zip(&mut into))
        .map(|((extent, _), into)| BlobRead { extent: *extent, into })
        .collect();
    let results = read_all(queue, &mut reads);
    (into, results)
}

#[test]
fn reads_come_in_any_order_and_in_part() {
    let mut queue = FakeQueue::new(&[
        Answer::Short(PAGE),
        Answer::Whole,
        Answer::Error(Errno::INTR),
        Answer::Short(700),
    ]);
    queue.file = image(100 * PAGE);
    let wanted = [
        (extent(50, 30), 30 * PAGE - 9),
        (extent(0, 1), 10),
        (extent(7, 4), 4 * PAGE),
    ];
    let (into, results) = read(&mut queue, &wanted);
    assert!(results.iter().all(Result::is_ok));
    for ((extent, len), bytes) in wanted.iter().zip(into) {
        let from = extent.offset_bytes() as usize;
        assert!(bytes == queue.file[from..from + len], "{extent:?}");
    }
}

#[test]
fn a_failed_read_leaves_the_others_whole() {
    let mut queue = FakeQueue::new(&[Answer::Error(Errno::IO)]);
    queue.file = image(10 * PAGE);
    let wanted = [(extent(0, 1), PAGE), (extent(4, 1), PAGE), (extent(9, 2), 2 * PAGE)];
    let (into, results) = read(&mut queue, &wanted);
    assert!(into[0] == queue.file[..PAGE] && into[1] == queue.file[4 * PAGE..5 * PAGE]);
    assert!(results[0].is_ok() && results[1].is_ok());
    assert!(results[2].is_err());
    let (_, results) = read(&mut queue, &wanted);
    assert_eq!(results[2].as_ref().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_broken_queue_fails_every_read() {
    let mut queue = FakeQueue::new(&[]);
    queue.file = image(10 * PAGE);
    queue.broken = true;
    let (_, results) = read(&mut queue, &[(extent(0, 1), PAGE), (extent(1, 1), PAGE)]);
    assert!(results.iter().all(Result::is_err));
}
