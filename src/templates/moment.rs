//! Points in time as the reader of a locale writes them, with the zone named: a buyer must not
//! have to guess whose clock a deadline means.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::language::{Language, Locale};

/// How much of a point in time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    /// `25 Nov 13:02 GMT`, for an SMS.
    Short,
    /// `Wed 25 Nov, 13:02 GMT`.
    Medium,
    /// `Wed 25 Nov 2026, 13:02 GMT`.
    Long,
}

/// `at` on the clocks of `zone` as `locale` writes it, with weekday, year, 24-hour time and the
/// zone named: `Wed 25 Nov 2026, 13:02 GMT`.
pub fn moment(at: Timestamp, zone: &TimeZone, locale: &str) -> String {
    in_locale(at, zone, &Locale::of(locale), Span::Long)
}

pub(super) fn in_locale(at: Timestamp, zone: &TimeZone, locale: &Locale, span: Span) -> String {
    let there = zone.to_datetime(at);
    let american = locale.language == Language::English && locale.region == "US";
    format!(
        "{}{} {}",
        date(&there, locale.language, american, span),
        time(&there, locale.language, american, span),
        zone_name(at, zone, locale.language)
    )
}

fn date(there: &DateTime, language: Language, american: bool, span: Span) -> String {
    let (weekday, month) = names(there, language);
    let month = match span {
        Span::Short => abbreviated(month, language),
        Span::Medium | Span::Long => month.to_owned(),
    };
    let (day, number) = (there.day(), there.month());
    let date = match language {
        Language::English if american => format!("{month} {day}"),
        Language::English | Language::Swedish => format!("{day} {month}"),
        Language::German | Language::Norwegian | Language::Danish => format!("{day}. {month}"),
        Language::Finnish => format!("{day}.{number}."),
    };
    let year = match (span, language) {
        (Span::Short | Span::Medium, _) => String::new(),
        (Span::Long, Language::Finnish) => there.year().to_string(),
        (Span::Long, _) if american => format!(", {}", there.year()),
        (Span::Long, _) => format!(" {}", there.year()),
    };
    match (span, language) {
        (Span::Short, _) => date,
        (_, Language::German) => format!("{weekday}, {date}{year}"),
        _ if american => format!("{weekday}, {date}{year}"),
        _ => format!("{weekday} {date}{year}"),
    }
}

fn time(there: &DateTime, language: Language, american: bool, span: Span) -> String {
    let (hour, minute) = (there.hour(), there.minute());
    match language {
        Language::English if span == Span::Short && !american => format!(" {hour:02}:{minute:02}"),
        Language::English => format!(", {hour:02}:{minute:02}"),
        Language::Swedish | Language::Norwegian => format!(" kl. {hour:02}:{minute:02}"),
        Language::German => format!(", {hour:02}:{minute:02} Uhr"),
        Language::Danish => format!(" kl. {hour:02}.{minute:02}"),
        Language::Finnish => format!(" klo {hour}.{minute:02}"),
    }
}

/// The zone as tzdb abbreviates it, in the reader's own abbreviation where the language has one.
fn zone_name(at: Timestamp, zone: &TimeZone, language: Language) -> String {
    let info = zone.to_offset_info(at);
    let name = info.abbreviation();
    match (language, name) {
        (Language::German, "CET") => "MEZ".into(),
        (Language::German, "CEST") => "MESZ".into(),
        (Language::German, "EET") => "OEZ".into(),
        (Language::German, "EEST") => "OESZ".into(),
        // tzdb has no letters for many zones and gives "+03": alone that reads like a sum
        _ if name.starts_with(['+', '-']) => format!("UTC{name}"),
        _ => name.to_owned(),
    }
}

/// The year's months and the week's days, Monday first.
type Calendar = ([&'static str; 7], [&'static str; 12]);

const ENGLISH: Calendar = (
    ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
    [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ],
);
const SWEDISH: Calendar = (
    ["mån", "tis", "ons", "tors", "fre", "lör", "sön"],
    [
        "januari",
        "februari",
        "mars",
        "april",
        "maj",
        "juni",
        "juli",
        "augusti",
        "september",
        "oktober",
        "november",
        "december",
    ],
);
const GERMAN: Calendar = (
    ["Mo.", "Di.", "Mi.", "Do.", "Fr.", "Sa.", "So."],
    [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
);
const NORWEGIAN: Calendar = (
    ["man.", "tir.", "ons.", "tor.", "fre.", "lør.", "søn."],
    [
        "januar",
        "februar",
        "mars",
        "april",
        "mai",
        "juni",
        "juli",
        "august",
        "september",
        "oktober",
        "november",
        "desember",
    ],
);
const DANISH: Calendar = (
    ["man.", "tirs.", "ons.", "tors.", "fre.", "lør.", "søn."],
    [
        "januar",
        "februar",
        "marts",
        "april",
        "maj",
        "juni",
        "juli",
        "august",
        "september",
        "oktober",
        "november",
        "december",
    ],
);
/// Finnish writes months as numbers; the names are not used.
const FINNISH: Calendar = (["ma", "ti", "ke", "to", "pe", "la", "su"], [""; 12]);

fn names(there: &DateTime, language: Language) -> (&'static str, &'static str) {
    let (days, months) = match language {
        Language::English => ENGLISH,
        Language::Swedish => SWEDISH,
        Language::German => GERMAN,
        Language::Norwegian => NORWEGIAN,
        Language::Danish => DANISH,
        Language::Finnish => FINNISH,
    };
    let day = there.weekday().to_monday_zero_offset();
    let month = there.month() - 1;
    (
        days[usize::from(day.unsigned_abs())],
        months[usize::from(month.unsigned_abs())],
    )
}

/// The month in few letters, with the full stop where the language sets one behind a cut word.
/// Words of up to four letters are not worth cutting.
fn abbreviated(month: &str, language: Language) -> String {
    if month.chars().count() <= 4 {
        return month.to_owned();
    }
    let cut: String = month.chars().take(3).collect();
    match language {
        Language::English | Language::Swedish | Language::Finnish => cut,
        Language::German | Language::Norwegian | Language::Danish => format!("{cut}."),
    }
}
