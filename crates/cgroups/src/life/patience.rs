//! How long one waits for what the kernel does not tell.

use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at what the kernel does not tell by itself.
const SHORTEST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again, with pauses that grow, until something is so or the time is over.
pub(super) struct Patience {
    timeout: Duration,
    /// From the first look at the time on: most never need one.
    until: Option<Instant>,
    pause: Duration,
}

impl Patience {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            until: None,
            pause: SHORTEST_PAUSE,
        }
    }

    pub(super) fn left(&mut self) -> Duration {
        let now = Instant::now();
        let until = self.until.get_or_insert(now + self.timeout);
        until.saturating_duration_since(now)
    }

    /// Sleeps; whether there was any time left to do so.
    pub(super) fn pause(&mut self) -> bool {
        let left = self.left();
        if left.is_zero() {
            return false;
        }
        thread::sleep(self.pause.min(left));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }
}
