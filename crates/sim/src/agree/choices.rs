//! Where a run's choices come from.

use fastrand::Rng;

/// Numbers that decide what a run does.
#[derive(Debug)]
pub struct Choices<'c>(Source<'c>);

#[derive(Debug)]
enum Source<'c> {
    Seed(Rng),
    /// Taken one or two at a time; zeros behind their end.
    Bytes(&'c [u8]),
}

impl<'c> Choices<'c> {
    /// Those of a seed, without end.
    pub fn of_seed(seed: u64) -> Self {
        Self(Source::Seed(Rng::with_seed(seed)))
    }

    /// Those of these bytes.
    pub fn of_bytes(bytes: &'c [u8]) -> Self {
        Self(Source::Bytes(bytes))
    }

    /// Whether all bytes are taken.
    pub(super) fn is_at_end(&self) -> bool {
        matches!(self.0, Source::Bytes([]))
    }

    /// A number below `bound`, which is not 0 and at most 2^16.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        match &mut self.0 {
            Source::Seed(random) => random.usize(..bound),
            Source::Bytes(bytes) => {
                let taken = if bound > 256 { 2 } else { 1 };
                let (number, rest) = bytes.split_at(taken.min(bytes.len()));
                *bytes = rest;
                number.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)) % bound
            }
        }
    }

    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A key, relative to nothing: short and path-shaped as a rule, of few different bytes, NUL and 0xFF among them.
    pub(super) fn key(&mut self, longest: usize) -> Vec<u8> {
        const NAMES: [&[u8]; 8] = [b"a", b"b", b"src", b"lib", b"\0", b"\xFF", b"x\xFFy", b"meta.json"];
        let mut key = Vec::new();
        match self.below(32) {
            0 => {}
            1 => key.resize(longest - self.below(3), b'l'),
            2 => {
                key.resize(longest / 2, b'p');
                key.push(self.below(256) as u8);
            }
            3..8 => key.extend((0..1 + self.below(5)).map(|_| self.pick(&[0, 0xFF, b'a', b'b', b'/']))),
            8..12 => key.extend([b'w', self.below(256) as u8]),
            12..16 => {
                key.extend(b"run/");
                key.extend(format!("{:04}", self.below(600)).bytes());
            }
            _ => {
                for _ in 0..1 + self.below(4) {
                    key.extend_from_slice(self.pick(&NAMES));
                    if self.one_in(3) {
                        key.extend(self.below(40).to_string().bytes());
                    }
                    key.push(b'/');
                }
                if !self.one_in(4) {
                    key.pop();
                }
            }
        }
        key.truncate(longest);
        key
    }

    /// A value: mostly short, at times long enough to lie outside its frame.
    pub(super) fn value(&mut self, frame_bytes: usize) -> Vec<u8> {
        let inline = frame_bytes / 16;
        let len = match self.below(40) {
            0 => inline + self.below(3 * inline),
            1 => inline - self.below(2),
            2..6 => self.below(inline.min(256)),
            _ => self.below(24),
        };
        let byte = self.below(256) as u8;
        (0..len).map(|index| byte.wrapping_add(index as u8)).collect()
    }
}
