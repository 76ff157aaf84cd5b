//! Commands that do the same to several guests.

use insula_node::Error;

use super::store::engine_failure;
use crate::{Failure, output};

/// Goes on after a failure, so that one wrong name does not keep the others. `act` gives the word
/// for what was done, or nothing when there is nothing to tell.
pub(super) fn each(
    names: &[String],
    mut act: impl FnMut(&str) -> Result<Option<&'static str>, Error>,
) -> Result<u8, Failure> {
    let mut first_failure = None;
    for name in names {
        match act(name) {
            Ok(Some(verbed)) => output::data(format_args!("container/{name} {verbed}\n")),
            Ok(None) => {}
            Err(error) => {
                let failure = engine_failure(&error);
                match first_failure {
                    None => first_failure = Some(failure),
                    Some(_) => output::failure(&failure, false),
                }
            }
        }
    }
    first_failure.map_or(Ok(0), Err)
}
