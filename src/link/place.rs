//! Countries, languages and locales: which codes exist, and how they are written.

use super::fault::Code;

/// ISO 3166-1 alpha-2, officially assigned, sorted.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI \
    BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY \
    CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN \
    GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH \
    KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO \
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL \
    PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV \
    SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN \
    VU WF WS YE YT ZA ZM ZW";

/// ISO 639-1, sorted.
const LANGUAGES: &str = "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co \
    cr cs cu cv cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi \
    ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw \
    ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc \
    oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv \
    sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu";

/// Where Klarna sells, as `KLARNA_MARKETS` writes it, unless the setting says otherwise
/// (`contract.md`, Contacts, places, text).
pub const MARKETS: &str = "SE/SEK NO/NOK FI/EUR DK/DKK GB/GBP DE/EUR NL/EUR AT/EUR CH/CHF \
    US/USD ES/EUR FR/EUR BE/EUR PL/PLN";

/// `KLARNA_MARKETS` as (country, currency) in upper case; `None` where a word is no
/// `country/currency` of existing codes, or where there is no word at all.
pub fn markets(text: &str) -> Option<Vec<(String, String)>> {
    let markets: Vec<_> = text
        .split_ascii_whitespace()
        .map(|pair| {
            let (place, money) = pair.split_once('/')?;
            let money = money.to_ascii_uppercase();
            iso_currency::Currency::from_code(&money)?;
            Some((country(place).ok()?, money))
        })
        .collect::<Option<_>>()?;
    (!markets.is_empty()).then_some(markets)
}

fn listed(codes: &str, code: &str) -> bool {
    codes.split_ascii_whitespace().any(|it| it == code)
}

fn letters(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| b.is_ascii_alphabetic())
}

/// A country in upper case.
///
/// # Errors
/// `invalid_format` for what is not two letters, `invalid_value` for two letters that ISO 3166-1
/// has not assigned.
pub fn country(text: &str) -> Result<String, Code> {
    if !letters(text, 2) {
        return Err(Code::InvalidFormat);
    }
    let upper = text.to_ascii_uppercase();
    if listed(COUNTRIES, &upper) {
        Ok(upper)
    } else {
        Err(Code::InvalidValue)
    }
}

/// A locale as KCO takes it, `en` or `en-GB`.
///
/// # Errors
/// `invalid_format` for another shape, `unsupported_locale` for a language that ISO 639-1 or a
/// country that ISO 3166-1 does not have. (KCO itself falls back to the language, then to English:
/// every combination of existing ones is taken.)
pub fn locale(text: &str) -> Result<String, Code> {
    let (language, region) = match text.split_once('-') {
        Some((language, region)) => (language, Some(region)),
        None => (text, None),
    };
    if !letters(language, 2) || region.is_some_and(|it| !letters(it, 2)) {
        return Err(Code::InvalidFormat);
    }
    let language = language.to_ascii_lowercase();
    let region = region.map(str::to_ascii_uppercase);
    if !listed(LANGUAGES, &language) || region.as_deref().is_some_and(|it| !listed(COUNTRIES, it)) {
        return Err(Code::UnsupportedLocale);
    }
    Ok(match region {
        Some(region) => format!("{language}-{region}"),
        None => language,
    })
}
