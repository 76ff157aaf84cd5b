//! A few threads for the parts of one image.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::retry::Cancel;
use crate::error::{Context, Error, Kind, Result};

/// Does `work` for each of `items`, `threads` at a time. The first failure raises `stop`; what is
/// under way should end by it, and nothing new is begun. Results are in the order of the items.
///
/// # Errors
/// The first failure that was not caused by stopping.
pub(crate) fn each<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    stop: &Cancel,
    work: &(dyn Fn(&T) -> Result<R> + Sync),
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let run = || {
        while !stop.is_raised() {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            match work(item) {
                Ok(result) => {
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results[index] = Some(result);
                }
                Err(error) => {
                    let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    failure.get_or_insert(error);
                    stop.raise();
                }
            }
        }
    };
    let threads = threads.clamp(1, items.len().max(1));
    std::thread::scope(|scope| -> Result<()> {
        for number in 1..threads {
            std::thread::Builder::new()
                .name(format!("transfer {number}"))
                .spawn_scoped(scope, run)
                .step(|| "start a thread")
                .inspect_err(|_| stop.raise())?;
        }
        run();
        Ok(())
    })?;
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let all: Option<Vec<R>> = results.into_iter().collect();
    all.ok_or_else(|| Error::new(Kind::Cancelled, "interrupted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order_and_the_first_failure_stops_the_rest() {
        let items: Vec<u32> = (0..20).collect();
        let stop = Cancel::default();
        let doubled = each(&items, 3, &stop, &|item| Ok(item * 2)).unwrap();
        assert_eq!(doubled, (0..20).map(|item| item * 2).collect::<Vec<u32>>());
        let begun = AtomicUsize::new(0);
        let failed = each(&items, 3, &stop, &|item| {
            begun.fetch_add(1, Ordering::Relaxed);
            match item {
                1 => Err(Error::new(Kind::System, "broken")),
                _ => stop.wait(std::time::Duration::from_secs(60)),
            }
        });
        assert_eq!(failed.unwrap_err().to_string(), "broken");
        assert!(begun.into_inner() <= 3);
        assert!(
            each(&[] as &[u32], 3, &Cancel::default(), &|_| Ok(()))
                .unwrap()
                .is_empty()
        );
    }
}
