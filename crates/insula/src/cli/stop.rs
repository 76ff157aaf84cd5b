//! `insula stop`: asks a guest to end, and ends it if it does not.

use insula_node::guest::{self, StopRequest};

use super::each::each;
use super::store::Location;
use super::value;
use crate::Failure;

/// Stop containers
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula stop web\n  insula stop -t 60 db")]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough)
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,

    #[command(flatten)]
    how: StopArguments,
}

/// How to stop, for `stop` and `restart`.
#[derive(Debug, clap::Args)]
pub(super) struct StopArguments {
    /// Seconds until it is killed; -1 waits for ever [default: its own, 10]
    #[arg(
        short = 't',
        long = "timeout",
        visible_alias = "time",
        value_name = "SECONDS"
    )]
    #[arg(allow_negative_numbers = true)]
    timeout_s: Option<i64>,

    /// The signal to send first [default: its own]
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
}

impl StopArguments {
    pub(super) fn request(&self) -> Result<StopRequest, Failure> {
        let signal = self.signal.as_deref().map(value::signal).transpose();
        Ok(StopRequest {
            signal: signal.map_err(Failure::usage)?,
            // More seconds than fit are as good as for ever.
            timeout_s: self.timeout_s.map(|seconds| u32::try_from(seconds).ok()),
        })
    }
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let place = location.place();
    let request = arguments.how.request()?;
    each(&arguments.containers, |name| {
        let was_up = guest::stop(&place, name, request)?;
        Ok(was_up.then_some("stopped"))
    })
}
