//! A pause that doubles with each failure in a row.

use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// When to try again.
pub(super) struct BackOff {
    next_pause: Duration,
    until: Option<Instant>,
}

impl BackOff {
    pub(super) fn new() -> Self {
        Self {
            next_pause: FIRST_PAUSE,
            until: None,
        }
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.until = Some(now + self.next_pause);
        self.next_pause = (self.next_pause * 2).min(LONGEST_PAUSE);
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::new();
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut back_off = BackOff::new();
        let mut now = Instant::now();
        assert!(back_off.is_over(now));
        let mut pause = FIRST_PAUSE;
        for _ in 0..20 {
            back_off.failed(now);
            assert!(!back_off.is_over(now + pause - Duration::from_millis(1)), "{pause:?}");
            assert!(back_off.is_over(now + pause), "{pause:?}");
            now += pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        assert_eq!(pause, LONGEST_PAUSE);
    }

    #[test]
    fn a_success_begins_anew() {
        let mut back_off = BackOff::new();
        let now = Instant::now();
        back_off.failed(now);
        back_off.failed(now);
        back_off.succeeded();
        assert!(back_off.is_over(now));
        back_off.failed(now);
        assert!(back_off.is_over(now + FIRST_PAUSE));
    }
}
