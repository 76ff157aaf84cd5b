//! Any text as a Containerfile and as an ignore file: an error, or a plan; never a panic, and never
//! much more memory than the text.

#![no_main]

use std::collections::BTreeMap;

use insula_image::containerfile::{Containerfile, Expander, Ignore, Platform};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(ignore) = Ignore::parse(text, "ignore") {
        for path in ["a", "a/b.c", "src/main.rs"] {
            let _decided = ignore.ignores(path);
        }
    }
    let Ok(file) = Containerfile::parse(text, "Containerfile") else {
        return;
    };
    let arguments = BTreeMap::from([("A".to_owned(), "value".to_owned())]);
    let _plan = file.plan(None, &arguments, &Platform::host());
    let lookup = |name: &str| (name.len() < 3).then(|| format!("{name}/value.of"));
    let expander = Expander {
        escape: file.escape,
        lookup: &lookup,
        keep_quotes: false,
    };
    for located in file.stages.iter().flat_map(|stage| &stage.instructions) {
        if let Ok(expanded) = located.instruction.expanded(&expander) {
            let _program = format!("{expanded:?}");
        }
        let _trigger = file.parse_trigger(located.line, &located.text);
    }
});
