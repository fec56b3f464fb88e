//! How a value is written where it lands: in HTML, in plain text, in an SMS, in a subject.

/// Where a value will be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Html,
    Text,
    Sms,
    Subject,
}

impl Form {
    /// A value of our own making (amount, date): only spaces and signs are adapted.
    pub(super) fn own(self, value: &str) -> String {
        match self {
            Form::Html => value.to_owned(),
            // text is copied into other programs and searched: no-break spaces get in the way
            Form::Text | Form::Subject => value.replace('\u{a0}', " "),
            Form::Sms => gsm(value),
        }
    }

    /// A value from outside: on one line, and nothing in it becomes a link.
    pub(super) fn foreign(self, value: &str) -> String {
        let value = line(value);
        match self {
            Form::Html | Form::Text => self.own(&delinked(&value, joined)),
            // no program makes links in a subject, and filters distrust invisible characters there
            Form::Subject => self.own(&value),
            // an invisible character would turn the whole SMS to UCS-2, so the name is spaced out
            Form::Sms => gsm(&delinked(&value, spaced)),
        }
    }
}

/// Word joiner (U+2060): takes no width, allows no line break, and is in no program's idea of an
/// address, so a dot between two of them ends the would-be host name. (A zero-width space would
/// let the name break across lines; soft hyphens show.)
const JOINER: char = '\u{2060}';

fn joined(sign: char, out: &mut String) {
    out.extend([JOINER, sign, JOINER]);
}

fn spaced(sign: char, out: &mut String) {
    out.extend([sign, ' ']);
}

/// `text` with every word that looks like an address taken apart at its dots, `@` and `://`.
fn delinked(text: &str, apart: fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        if !is_address(word) {
            out.push_str(word);
            continue;
        }
        let mut signs = word.chars().peekable();
        while let Some(sign) = signs.next() {
            let inside = signs.peek().is_some_and(|next| !next.is_whitespace());
            if inside && (is_dot(sign) || sign == '@' || sign == ':') {
                apart(sign, &mut out);
            } else {
                out.push(sign);
            }
        }
    }
    out
}

fn is_dot(sign: char) -> bool {
    // the full-width and ideographic stops separate labels too (UTS 46)
    matches!(sign, '.' | '。' | '．' | '｡')
}

/// Whether some program would make a link of this word: a scheme, an `@`, a dot in front of two
/// letters (`shop.example`, `Node.js`: better one too many, it cannot be seen), an IPv4 address.
fn is_address(word: &str) -> bool {
    let word = word.trim();
    if word.contains("://") || word.contains('@') {
        return true;
    }
    let labels: Vec<&str> = word.split(is_dot).collect();
    let host = labels.windows(2).any(|pair| {
        pair[0]
            .chars()
            .next_back()
            .is_some_and(char::is_alphanumeric)
            && pair[1]
                .chars()
                .take(2)
                .filter(|c| c.is_alphabetic())
                .count()
                == 2
    });
    let ipv4 = labels.len() >= 4
        && labels
            .iter()
            .take(3)
            .all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()));
    host || ipv4
}

/// Typographic signs as the nearest sign of GSM 03.38: one curly apostrophe would halve what fits
/// into an SMS. Letters are left alone; a name is spelt as its owner spells it.
fn gsm(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '’' | '‘' | '‚' | '‛' | '′' | '´' | '`' => out.push('\''),
            '“' | '”' | '„' | '‟' | '″' | '«' | '»' => out.push('"'),
            '–' | '—' | '−' | '‐' | '‑' | '‒' | '•' | '·' => out.push('-'),
            '…' => out.push_str("..."),
            '×' => out.push('x'),
            '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => {}
            sign if sign.is_whitespace() => out.push(' '),
            sign => out.push(sign),
        }
    }
    out
}

/// One line: control characters and runs of white space become one space. No-break spaces stay.
pub(super) fn line(text: &str) -> String {
    let parts =
        text.split(|c: char| c.is_control() || c == ' ' || matches!(c, '\u{2028}' | '\u{2029}'));
    parts
        .filter(|it| !it.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// At most `length` characters; what is cut off is said by `…`.
pub(super) fn elide(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let kept: String = text.chars().take(length.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Plain text without trailing spaces and with at most one empty line between paragraphs, so that
/// a template may be laid out for its author.
pub(super) fn paragraphs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut empty = true;
    for row in text.lines().map(str::trim_end) {
        if row.is_empty() && empty {
            continue;
        }
        empty = row.is_empty();
        out.push_str(row);
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// For text and attributes in quotes. Handlebars' own also rewrites `=` and `` ` ``, which serves
/// attributes without quotes only and makes addresses unreadable in the source.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            sign => out.push(sign),
        }
    }
    out
}

/// `mailto:` or `tel:` of what the merchant gave as support; `None` for anything else.
pub(super) fn contact(support: &str) -> Option<String> {
    let support = support.trim();
    if support.contains('@') {
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"@.-_+~!$*'/=^{|}".contains(&b);
        let fits = support.bytes().all(safe);
        return fits.then(|| format!("mailto:{support}"));
    }
    let layout = |c: char| matches!(c, ' ' | '\u{a0}' | '-' | '.' | '(' | ')' | '/');
    let dial: String = support.chars().filter(|c| !layout(*c)).collect();
    let digits = dial.strip_prefix('+').unwrap_or(&dial);
    let fits = digits.len() >= 3 && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| format!("tel:{dial}"))
}
