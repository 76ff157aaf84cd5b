//! Times of many runs, and what is said about them.

use std::time::Duration;

/// One run: from before the fork to after the wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and system time of the program and of all descendants that it waited for.
    pub(crate) cpu: Duration,
}

/// The sum of several commands' costs.
pub(crate) fn sum(costs: &[Cost], waited: Duration) -> Cost {
    Cost {
        wall: costs.iter().map(|cost| cost.wall).sum::<Duration>() + waited,
        cpu: costs.iter().map(|cost| cost.cpu).sum(),
    }
}

/// The costs of one contestant in the order they were measured.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    wall: Vec<Duration>,
    cpu: Vec<Duration>,
}

/// Positions in the sorted times, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) min_us: f64,
    pub(crate) median_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub(crate) runs: usize,
}

impl Sample {
    pub(crate) fn add(&mut self, cost: Cost) {
        self.wall.push(cost.wall);
        self.cpu.push(cost.cpu);
    }

    pub(crate) fn wall(&self) -> Summary {
        Summary::of(&self.wall)
    }

    pub(crate) fn cpu(&self) -> Summary {
        Summary::of(&self.cpu)
    }
}

impl Summary {
    /// All zero for no times.
    pub(crate) fn of(times: &[Duration]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let last = sorted.len().saturating_sub(1);
            let place = (sorted.len() * percent / 100).min(last);
            sorted
                .get(place)
                .map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        Self {
            min_us: at(0),
            median_us: at(50),
            p90_us: at(90),
            p99_us: at(99),
            runs: sorted.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let times: Vec<_> = (1..=101).rev().map(Duration::from_micros).collect();
        let summary = Summary::of(&times);
        assert!((summary.min_us - 1.0).abs() < 0.01);
        assert!((summary.median_us - 51.0).abs() < 0.01);
        assert!((summary.p99_us - 100.0).abs() < 0.01);
    }

    #[test]
    fn no_times_are_no_panic() {
        assert_eq!(Summary::of(&[]).runs, 0);
    }
}
