//! What happens to guests, told to the host's journal.

use super::format::GuestRecord;
use super::now_ns;
use super::place::Place;
use crate::event::{self, Event};

/// Writes down what happened. A journal that cannot be written keeps nobody from the work itself.
pub(super) fn tell(
    place: &Place,
    record: &GuestRecord,
    action: &str,
    attributes: &[(&str, String)],
) {
    let mut all = std::collections::BTreeMap::new();
    all.insert("image".to_owned(), record.image.clone());
    for (name, value) in attributes {
        all.insert((*name).to_owned(), value.clone());
    }
    let event = Event {
        time_ns: now_ns(),
        kind: "container".to_owned(),
        action: action.to_owned(),
        name: record.name.clone(),
        id: record.id.clone(),
        attributes: all,
    };
    event::append(&place.state, &event);
}
