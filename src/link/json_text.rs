//! Whether a text is JSON, by its grammar alone (RFC 8259): no value is made of it, so that a text
//! that is only passed on costs nothing but its reading.

/// Containers within containers; what is deeper is no text that anybody means.
const DEPTH: usize = 64;

pub(super) fn is_json(text: &str) -> bool {
    let mut rest = Rest(text.as_bytes());
    rest.value(DEPTH).is_some() && rest.0.is_empty()
}

/// What is still to be read. Each step answers `None` where the text is not JSON.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn value(&mut self, depth: usize) -> Option<()> {
        self.blank();
        match self.0.first()? {
            b'{' => self.items(depth, b'{', b'}', |rest, depth| {
                rest.blank();
                rest.string()?;
                rest.blank();
                rest.word(b":")?;
                rest.value(depth)
            })?,
            b'[' => self.items(depth, b'[', b']', Self::value)?,
            b'"' => self.string()?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => self.number()?,
        }
        self.blank();
        Some(())
    }

    fn items(
        &mut self,
        depth: usize,
        open: u8,
        close: u8,
        item: fn(&mut Self, usize) -> Option<()>,
    ) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.word(&[open])?;
        self.blank();
        if self.word(&[close]).is_some() {
            return Some(());
        }
        loop {
            item(self, depth)?;
            if self.word(&[close]).is_some() {
                return Some(());
            }
            self.word(b",")?;
        }
    }

    fn string(&mut self) -> Option<()> {
        self.word(b"\"")?;
        loop {
            match self.byte()? {
                b'"' => return Some(()),
                b'\\' => match self.byte()? {
                    b'u' => {
                        for _ in 0..4 {
                            self.byte().filter(u8::is_ascii_hexdigit)?;
                        }
                    }
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    _ => return None,
                },
                0..0x20 => return None,
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        // each optional part may be missing, and is whole where it is there
        let _ = self.word(b"-");
        if self.word(b"0").is_none() {
            self.digits()?;
        }
        if self.word(b".").is_some() {
            self.digits()?;
        }
        if self.word(b"e").or_else(|| self.word(b"E")).is_some() {
            let _ = self.word(b"+").or_else(|| self.word(b"-"));
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let count = self.0.iter().take_while(|it| it.is_ascii_digit()).count();
        self.0 = self.0.get(count..)?;
        (count > 0).then_some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(word)?;
        Some(())
    }

    fn blank(&mut self) {
        while let Some((b' ' | b'\t' | b'\n' | b'\r', rest)) = self.0.split_first() {
            self.0 = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn serde_says(text: &str) -> bool {
        serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    }

    #[test]
    fn what_is_json_and_what_is_not() {
        for text in [
            "{}",
            " [1, -0.5e+3, true, null, \"\\u00e9\\n\"] ",
            r#"{"a":{"b":[{}]}}"#,
            "\"é\"",
            "0",
        ] {
            assert!(is_json(text) && serde_says(text), "{text}");
        }
        for text in [
            "",
            " ",
            "{",
            "{}x",
            "{a:1}",
            "[1,]",
            "01",
            "1.",
            "-",
            "\"\n\"",
            "'a'",
            "tru",
            "\"\\x\"",
            "\"\\u12\"",
            "{\"a\"}",
            "nullnull",
        ] {
            assert!(!is_json(text) && !serde_says(text), "{text}");
        }
        assert!(!is_json(&"[".repeat(1_000_000)));
    }

    proptest! {
        #[test]
        fn serde_agrees(text in r#"[\[\]{}",:0-9.eE+\-truefalsn \\]{0,12}"#) {
            prop_assert_eq!(is_json(&text), serde_says(&text));
        }
    }
}
