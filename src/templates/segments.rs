//! How many messages a text takes: 3GPP TS 23.038 (alphabets) and TS 23.040 (concatenation).

/// The alphabet that a text needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// GSM 7-bit default alphabet with its extension table.
    Gsm7,
    /// 16-bit units, as soon as one character is not in the former.
    Ucs2,
}

/// A text as the network sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// The alphabet.
    pub encoding: Encoding,
    /// Septets (`Gsm7`) or 16-bit units (`Ucs2`).
    pub units: u32,
    /// Messages that the network carries, and the gateway bills; 1 for an empty text.
    pub parts: u32,
}

/// One septet each, ESC (the way into the extension table) left out.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Two septets each: ESC and one more.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// Counts `text`. A character of two units is never torn between two parts, so a part may stay one
/// unit short.
pub fn segments(text: &str) -> Segments {
    let septets = |c: char| {
        if BASIC.contains(c) {
            Some(1)
        } else {
            EXTENSION.contains(c).then_some(2)
        }
    };
    let gsm: Option<Vec<u32>> = text.chars().map(septets).collect();
    // a concatenated part spends 6 octets on its header
    let (encoding, sizes, single, part) = if let Some(sizes) = gsm {
        (Encoding::Gsm7, sizes, 160, 153)
    } else {
        let sizes = text.chars().map(|c| if c.len_utf16() == 2 { 2 } else { 1 });
        (Encoding::Ucs2, sizes.collect(), 70, 67)
    };
    let units = sizes.iter().sum();
    let parts = if units <= single {
        1
    } else {
        let (full, _) = sizes.iter().fold((0, 0), |(full, used), size| {
            if used + size > part {
                (full + 1, *size)
            } else {
                (full, used + size)
            }
        });
        full + 1
    };
    Segments {
        encoding,
        units,
        parts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Encoding, u32, u32) {
        let Segments {
            encoding,
            units,
            parts,
        } = segments(text);
        (encoding, units, parts)
    }

    #[test]
    fn gsm_counts() {
        assert_eq!(BASIC.chars().count(), 127);
        assert_eq!(parts(""), (Encoding::Gsm7, 0, 1));
        assert_eq!(parts(&"a".repeat(160)), (Encoding::Gsm7, 160, 1));
        assert_eq!(parts(&"a".repeat(161)), (Encoding::Gsm7, 161, 2));
        assert_eq!(parts(&"a".repeat(306)), (Encoding::Gsm7, 306, 2));
        assert_eq!(parts(&"a".repeat(307)), (Encoding::Gsm7, 307, 3));
        assert_eq!(parts(&"€".repeat(80)), (Encoding::Gsm7, 160, 1));
    }

    #[test]
    fn an_escape_is_not_torn_from_its_character() {
        // 306 septets would fill two parts; the pair at 153 does not fit into the first
        let text = format!("{}€{}", "a".repeat(152), "a".repeat(152));
        assert_eq!(parts(&text), (Encoding::Gsm7, 306, 3));
        let text = format!("{}€{}", "a".repeat(151), "a".repeat(153));
        assert_eq!(parts(&text), (Encoding::Gsm7, 306, 2));
    }

    #[test]
    fn ucs2_counts() {
        assert_eq!(parts(&"ł".repeat(70)), (Encoding::Ucs2, 70, 1));
        assert_eq!(parts(&"ł".repeat(71)), (Encoding::Ucs2, 71, 2));
        assert_eq!(parts(&"ł".repeat(134)), (Encoding::Ucs2, 134, 2));
        assert_eq!(parts(&"ł".repeat(135)), (Encoding::Ucs2, 135, 3));
        // 134 units in surrogate pairs: 33 pairs per part, one unit lost each time
        assert_eq!(parts(&"😀".repeat(67)), (Encoding::Ucs2, 134, 3));
        assert_eq!(parts(&"😀".repeat(35)), (Encoding::Ucs2, 70, 1));
    }
}
