//! Mail and SMS: how they are reached, and what is refused about it.

use secrecy::SecretString;
use url::{Host, Url};

use super::reader::Reader;
use super::values;
use super::{MailUnknown, Merchant, Sms, SmsHttp, Smtp, SmtpTls};

const SMTP_FORM: &str = "give smtps://[user:password@]host[:465] or smtp://[user:password@]host[:port]?tls=required|opportunistic|none, user and password percent-encoded";
/// The gateways that this program has.
const GATEWAYS: &[&str] = &["none", "log", "http"];

pub(super) fn smtp(r: &mut Reader, public_url: Option<&str>) -> Option<Smtp> {
    let insecure = r.flag("PAYLINK_ALLOW_INSECURE_SMTP");
    let helo = r.parse("SMTP_HELO", "give a host name", |text| {
        let name = |b: u8| b.is_ascii_alphanumeric() || b".-[]:".contains(&b);
        (text.len() <= 253 && text.bytes().all(name)).then(|| text.to_owned())
    });
    let form = "give an address, or Name <address>";
    let from = r.parse("MAIL_FROM", form, values::mailbox);
    let reply_to = r.parse("MAIL_REPLY_TO", form, values::mailbox);
    let unknown = r.parse(
        "MAIL_UNKNOWN",
        "give ask or resend_once",
        |text| match text {
            "ask" => Some(MailUnknown::Ask),
            "resend_once" => Some(MailUnknown::ResendOnce),
            _ => None,
        },
    );
    let wanted = r.given("SMTP_URL");
    let server = wanted
        .as_deref()
        .and_then(|text| match server(text, insecure) {
            Ok(server) => Some(server),
            Err((wrong, right)) => {
                r.fault("SMTP_URL", wrong, right);
                None
            }
        });
    // a wrong MAIL_FROM was told of already
    if wanted.is_some() && from.is_none() && r.given("MAIL_FROM").is_none() {
        r.fault("MAIL_FROM", "is missing", format!("with SMTP_URL, {form}"));
    }
    let server = server?;
    Some(Smtp {
        helo: helo
            .or_else(|| public_url.and_then(greeting))
            .unwrap_or_else(|| "localhost".into()),
        host: server.host,
        port: server.port,
        tls: server.tls,
        credentials: server.credentials,
        from: from?,
        reply_to,
        unknown: unknown?,
    })
}

/// The public URL's host; an address as RFC 5321 §4.1.3 wants it in a greeting.
fn greeting(public_url: &str) -> Option<String> {
    Some(match Url::parse(public_url).ok()?.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => format!("[{address}]"),
        Host::Ipv6(address) => format!("[IPv6:{address}]"),
    })
}

struct Server {
    host: String,
    port: u16,
    tls: SmtpTls,
    credentials: Option<(String, SecretString)>,
}

type Wrong = (&'static str, &'static str);

fn server(text: &str, insecure: bool) -> Result<Server, Wrong> {
    let form = ("has a wrong value", SMTP_FORM);
    let url = Url::parse(text).map_err(|_| form)?;
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() || url.port() == Some(0) {
        return Err(form);
    }
    // smtp is no scheme whose hosts the url crate checks, so it is asked again as if by http
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(form)?;
    let plain = Url::parse(&format!("http://{host}/")).map_err(|_| form)?;
    let loopback = values::is_loopback(&plain);
    let host = plain.host_str().ok_or(form)?;
    let tls = match (url.scheme(), url.query()) {
        ("smtps", None) => SmtpTls::Implicit,
        ("smtp", None | Some("tls=required")) => SmtpTls::Required,
        ("smtp", Some("tls=opportunistic")) => SmtpTls::Opportunistic,
        ("smtp", Some("tls=none")) => SmtpTls::None,
        _ => return Err(form),
    };
    let decoded =
        |part| values::percent_decoded(part).filter(|it| !it.contains(['\r', '\n', '\0']));
    let credentials = match (url.username(), url.password()) {
        ("", None) => None,
        ("", Some(_)) | (_, None) => return Err(("has half of the credentials", SMTP_FORM)),
        (user, Some(password)) => Some((
            decoded(user).ok_or(form)?,
            SecretString::from(decoded(password).ok_or(form)?),
        )),
    };
    if tls == SmtpTls::None && !loopback {
        if credentials.is_some() {
            return Err((
                "would send credentials in clear",
                "use tls=required, or leave the credentials out",
            ));
        }
        if !insecure {
            return Err((
                "has tls=none beyond loopback",
                "use tls=required, or say PAYLINK_ALLOW_INSECURE_SMTP=1",
            ));
        }
    }
    Ok(Server {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port().unwrap_or(match tls {
            SmtpTls::Implicit => 465,
            SmtpTls::Required => 587,
            SmtpTls::Opportunistic | SmtpTls::None => 25,
        }),
        tls,
        credentials,
    })
}

pub(super) fn sms(r: &mut Reader, merchant: Option<&Merchant>) -> Option<Sms> {
    let from = r
        .parse(
            "SMS_FROM",
            "give up to 11 letters and digits, or a number with + and 5 to 15 digits",
            sender,
        )
        .unwrap_or_else(|| sender_of(merchant));
    let http = http(r, from.clone());
    let Some(word) = r.text("SMS_GATEWAY") else {
        return Some(Sms::None);
    };
    match word.as_str() {
        "none" => Some(Sms::None),
        "log" => Some(Sms::Log { from }),
        "http" => {
            if http.is_none() && r.given("SMS_HTTP_URL").is_none() {
                r.fault(
                    "SMS_HTTP_URL",
                    "is missing",
                    "with SMS_GATEWAY=http, give the URL that messages are posted to",
                );
            }
            http.map(|http| Sms::Http(Box::new(http)))
        }
        _ => {
            r.fault(
                "SMS_GATEWAY",
                "names a gateway that is not built",
                format!("give one of {}", GATEWAYS.join(", ")),
            );
            None
        }
    }
}

fn http(r: &mut Reader, from: String) -> Option<SmsHttp> {
    let url = r.parse(
        "SMS_HTTP_URL",
        "give an https URL (http on loopback) without user and fragment",
        values::web_url,
    );
    let method = r.parse("SMS_HTTP_METHOD", "give POST or PUT", |text| {
        ["POST", "PUT"].into_iter().find(|method| *method == text)
    });
    let headers = match r.given("SMS_HTTP_HEADERS") {
        None => Some(Vec::new()),
        Some(_) => r.parse(
            "SMS_HTTP_HEADERS",
            "give one \"Name: value\" per line",
            headers,
        ),
    };
    let body = r.text("SMS_HTTP_BODY");
    let message_id = r.parse(
        "SMS_HTTP_MESSAGE_ID",
        "give a JSON pointer such as /messages/0/id",
        values::pointer,
    );
    let success = r.parse(
        "SMS_HTTP_SUCCESS",
        "give /pointer=value such as /status=accepted",
        |text| {
            let (pointer, value) = text.split_once('=')?;
            Some((values::pointer(pointer)?, value.to_owned()))
        },
    );
    let idempotent = r.flag("SMS_HTTP_IDEMPOTENT");
    Some(SmsHttp {
        url: SecretString::from(url?.as_str()),
        method: method?,
        headers: headers?,
        body: body?,
        message_id,
        success,
        idempotent,
        from,
    })
}

fn headers(text: &str) -> Option<Vec<(String, SecretString)>> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':')?;
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            let named = !name.is_empty() && name.bytes().all(token);
            let value = value.trim();
            let visible = value.bytes().all(|b| (b' '..=b'~').contains(&b));
            (named && visible).then(|| (name.to_owned(), SecretString::from(value)))
        })
        .collect()
}

fn sender(text: &str) -> Option<String> {
    let number = text.strip_prefix('+').is_some_and(|digits| {
        (5..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    });
    let word = (1..=11).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ');
    (number || word).then(|| text.to_owned())
}

fn sender_of(merchant: Option<&Merchant>) -> String {
    let name = merchant.map_or("", |merchant| &merchant.name);
    let letters: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(11)
        .collect();
    if letters.is_empty() {
        "paylink".into()
    } else {
        letters
    }
}
