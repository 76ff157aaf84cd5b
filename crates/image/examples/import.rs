//! Imports a root file system without the command line of people: `import STORE SOURCE TAG`.

use std::path::Path;
use std::process::ExitCode;

use insula_image::{ImportOptions, Source, Store};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, source, tag] = arguments.as_slice() else {
        return ExitCode::from(2);
    };
    let source = match source.as_str() {
        "-" => Source::Stream(Box::new(std::io::stdin())),
        path => Source::Path(path.into()),
    };
    let imported = tag.parse().and_then(|tag| {
        let options = ImportOptions {
            tag: Some(tag),
            ..ImportOptions::default()
        };
        Store::new(Path::new(store)).import(source, &options)
    });
    use std::io::Write as _;
    let mut error_output = std::io::stderr();
    match imported {
        Ok(imported) => {
            let _ = writeln!(error_output, "{imported:?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let hint = error.hint_text().unwrap_or_default();
            let _ = writeln!(error_output, "error: {}\nhint: {hint}", error.chain());
            ExitCode::FAILURE
        }
    }
}
