//! When a failed request is tried again, how long to wait before, and what ends the waiting.
//!
//! The wait doubles from [`FIRST_WAIT`] to [`WAIT_MAX`] and is spread by chance, so that many hosts
//! that lost one registry do not come back in the same instant. A registry that says `Retry-After`
//! is obeyed up to [`RETRY_AFTER_MAX`]. Every wait ends early when [`Cancel`] is raised.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use insula_sys::rustix::rand::{GetRandomFlags, getrandom};

use crate::error::{Error, Kind, Result};

const FIRST_WAIT: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(20);
/// A registry that asks for more patience than this is taken to be down.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// A flag that ends every transfer of a client; set from another thread, never taken back.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<(Mutex<bool>, Condvar)>);

impl Cancel {
    /// Ends what is under way, soon.
    pub fn raise(&self) {
        let (raised, changed) = &*self.0;
        *raised.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }

    #[must_use]
    pub fn is_raised(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error of an operation that was ended.
    ///
    /// # Errors
    /// The flag is raised.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_raised() {
            Err(Error::new(Kind::Cancelled, "interrupted"))
        } else {
            Ok(())
        }
    }

    /// Waits for `duration`.
    ///
    /// # Errors
    /// The flag was raised meanwhile.
    pub(crate) fn wait(&self, duration: Duration) -> Result<()> {
        let (raised, changed) = &*self.0;
        let guard = raised.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(guard, duration, |raised| !*raised);
        drop(waited);
        self.check()
    }
}

/// The attempts at one request.
#[derive(Debug)]
pub(crate) struct Attempts {
    left: u32,
    next: Duration,
}

impl Attempts {
    /// `retries` more attempts after the first.
    pub(crate) fn new(retries: u32) -> Self {
        Self {
            left: retries,
            next: FIRST_WAIT,
        }
    }

    /// How long to wait before the next attempt; `None` when there is none. `asked` is what the
    /// registry said.
    pub(crate) fn next_wait(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let limit = self.next;
        self.next = (limit * 2).min(WAIT_MAX);
        match asked {
            Some(asked) if asked > RETRY_AFTER_MAX => None,
            Some(asked) => Some(asked),
            None => Some(limit / 2 + spread(limit / 2)),
        }
    }
}

/// `Retry-After`: seconds, or a date.
pub(crate) fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(
        date.duration_since(SystemTime::now())
            .unwrap_or(Duration::ZERO),
    )
}

/// By chance between nothing and `limit`.
fn spread(limit: Duration) -> Duration {
    let mut random = [0_u8; 4];
    // Without randomness the wait is only less well spread.
    let _ = getrandom(&mut random, GetRandomFlags::NONBLOCK);
    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let part = u64::from(u32::from_ne_bytes(random));
    Duration::from_millis(millis.saturating_mul(part) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let mut attempts = Attempts::new(8);
        let mut limit = FIRST_WAIT;
        for _ in 0..8 {
            let wait = attempts.next_wait(None).unwrap();
            assert!(wait >= limit / 2 && wait <= limit, "{wait:?} of {limit:?}");
            limit = (limit * 2).min(WAIT_MAX);
        }
        assert_eq!(attempts.next_wait(None), None);
    }

    #[test]
    fn what_a_registry_asks_for_is_obeyed_within_reason() {
        let second = Duration::from_secs(1);
        assert_eq!(Attempts::new(1).next_wait(Some(second)), Some(second));
        let hour = Duration::from_secs(3600);
        assert_eq!(Attempts::new(1).next_wait(Some(hour)), None);
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        let past = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(retry_after(past), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }

    #[test]
    fn cancelling_ends_a_wait() {
        let cancel = Cancel::default();
        let other = cancel.clone();
        let waiting = std::thread::spawn(move || other.wait(Duration::from_secs(60)));
        cancel.raise();
        assert!(waiting.join().unwrap().is_err());
    }
}
