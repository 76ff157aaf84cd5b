//! Questions to a person at the terminal whose answers nobody should see.

use std::io::{self, BufRead, Read, Write};

use insula_sys::rustix::stdio::stdin;
use insula_sys::rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Gives the terminal its settings back.
struct Restore(Termios);

impl Drop for Restore {
    fn drop(&mut self) {
        // Nothing more can be done for a terminal that is gone.
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &self.0);
    }
}

/// Asks on stderr and reads a line from the terminal on stdin, without echo.
///
/// # Errors
/// Standard input is not a terminal, or cannot be read.
pub fn read_unseen(question: &str, bytes_max: u64) -> io::Result<String> {
    let before = tcgetattr(stdin())?;
    let mut unseen = before.clone();
    unseen.local_modes.remove(LocalModes::ECHO);
    // Ctrl-C would leave the terminal without echo: here it is a character, and an answer.
    unseen.local_modes.remove(LocalModes::ISIG);
    unseen.local_modes.insert(LocalModes::ICANON);
    let mut terminal = io::stderr().lock();
    write!(terminal, "{question}")?;
    terminal.flush()?;
    tcsetattr(stdin(), OptionalActions::Flush, &unseen)?;
    let restore = Restore(before);
    let mut line = String::new();
    let read = io::stdin().lock().take(bytes_max).read_line(&mut line);
    drop(restore);
    writeln!(terminal)?;
    read?;
    if line.contains('\u{3}') {
        return Err(io::ErrorKind::Interrupted.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
