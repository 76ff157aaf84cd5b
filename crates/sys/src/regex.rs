//! Extended regular expressions by the C library (regex(7)), which is linked anyway.

use std::ffi::{CStr, CString};
use std::fmt;
use std::mem::MaybeUninit;

/// A compiled expression.
pub struct Regex {
    compiled: Box<libc::regex_t>,
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Regex")
    }
}

impl Regex {
    /// Compiles an expression.
    ///
    /// # Errors
    /// The library's text on what is wrong with it.
    pub fn new(expression: &str) -> Result<Self, String> {
        let text = CString::new(expression).map_err(|error| error.to_string())?;
        let mut compiled = Box::new(MaybeUninit::<libc::regex_t>::zeroed());
        let flags = libc::REG_EXTENDED | libc::REG_NOSUB;
        // SAFETY: `text` ends in NUL and `compiled` is writable memory of the right type; both
        // live through the call.
        let code = unsafe { libc::regcomp(compiled.as_mut_ptr(), text.as_ptr(), flags) };
        if code != 0 {
            let mut reason = [0_u8; 128];
            // SAFETY: `regerror` reads `compiled`, which `regcomp` may leave half-made on failure
            // but which was zeroed, and writes at most the length given, ending in NUL.
            unsafe {
                libc::regerror(
                    code,
                    compiled.as_ptr(),
                    reason.as_mut_ptr().cast(),
                    reason.len(),
                );
            }
            let text = CStr::from_bytes_until_nul(&reason).unwrap_or(c"not valid");
            return Err(text.to_string_lossy().into_owned());
        }
        // SAFETY: `regcomp` has succeeded, so the structure is complete.
        let compiled = unsafe { compiled.assume_init() };
        Ok(Self { compiled })
    }

    /// Whether the expression occurs in the text; `^` and `$` tie it to the ends.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        let Ok(text) = CString::new(text) else {
            return false;
        };
        let none = std::ptr::null_mut();
        // SAFETY: `compiled` was made by `regcomp`, `text` ends in NUL, and no matches are asked
        // for, so that the null pointer is not followed.
        unsafe { libc::regexec(&raw const *self.compiled, text.as_ptr(), 0, none, 0) == 0 }
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: made by `regcomp`, and freed only here.
        unsafe { libc::regfree(&raw mut *self.compiled) }
    }
}

#[cfg(test)]
mod tests {
    use super::Regex;

    #[test]
    fn expressions_match_as_in_egrep() {
        let pattern = Regex::new("^web-(1|2)[0-9]?$").unwrap();
        assert!(pattern.is_match("web-1") && pattern.is_match("web-25"));
        assert!(!pattern.is_match("web-3") && !pattern.is_match("my-web-1"));
        assert!(Regex::new("eb").unwrap().is_match("web"));
    }

    #[test]
    fn a_broken_expression_is_explained() {
        assert!(Regex::new("a(").unwrap_err().contains('('));
        assert!(Regex::new("a\0").is_err());
    }
}
