//! Every setting, once: its name, default and consequence. `.env.example` is this table printed, and
//! nothing is read that is not in it.

use std::fmt::Write as _;

/// One setting as the operator meets it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The environment variable.
    pub name: &'static str,
    /// Text of its default; what it does without one is in `says`.
    pub default: Option<&'static str>,
    /// `serve`, `worker`, `check` and `reconcile` do not start without it.
    pub required: bool,
    /// Never printed; may come from the file named by `NAME_FILE`.
    pub secret: bool,
    /// What it is, its unit, and what follows from it. Lines as they stand in `.env.example`.
    pub says: &'static str,
}

/// A heading of `.env.example` with its settings.
#[derive(Debug)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// In the order in which an operator meets them.
    pub settings: &'static [Setting],
}

const fn optional(name: &'static str, says: &'static str) -> Setting {
    Setting {
        name,
        default: None,
        required: false,
        secret: false,
        says,
    }
}

const fn with(name: &'static str, default: &'static str, says: &'static str) -> Setting {
    Setting {
        default: Some(default),
        ..optional(name, says)
    }
}

const fn required(name: &'static str, says: &'static str) -> Setting {
    Setting {
        required: true,
        ..optional(name, says)
    }
}

const fn secret(setting: Setting) -> Setting {
    Setting {
        secret: true,
        ..setting
    }
}

/// Klarna's core markets for its checkout, klarna.md §4.
pub(super) const MARKETS: &str = "SE/SEK NO/NOK FI/EUR DK/DKK GB/GBP DE/EUR NL/EUR AT/EUR CH/CHF US/USD ES/EUR FR/EUR BE/EUR PL/PLN";
/// `contract.md`, Settings: SMS `http`.
pub(super) const SMS_BODY: &str =
    r#"{"to":{{json to}},"from":{{json from}},"text":{{json text}},"id":{{json id}}}"#;

/// The whole table.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "The process",
        settings: &[
            with(
                "PAYLINK_LISTEN",
                "127.0.0.1:8080",
                "Address and port to serve on; port 0 takes a free one. Beyond loopback, put a proxy\nwith TLS in front.",
            ),
            optional(
                "PAYLINK_PUBLIC_URL",
                "Base of the callback, push and return URLs that Klarna and buyers are given; https\nunless loopback, without a query. Where it cannot be reached from outside, outcomes come\nby polling and so later. Required, except that with a loopback KLARNA_API_URL it defaults\nto http://PAYLINK_LISTEN.",
            ),
            secret(with(
                "DATABASE_URL",
                "sqlite://paylink.db",
                "sqlite://FILE (one process serves it) or postgres://USER:PASSWORD@HOST/NAME (replicas).\nPostgreSQL is reached by TLS with sslmode=verify-full, the default; sslmode=disable only on\nloopback.",
            )),
            with(
                "DATABASE_CONNECTIONS",
                "16",
                "Connections of one process to PostgreSQL, 1 to 1000. More wait, and beyond a bounded queue\nrequests get 503 overloaded. SQLite does not use it.",
            ),
            secret(optional(
                "PAYLINK_SECRET",
                "32 random bytes in base64 (`openssl rand -base64 32`). Every key is derived from it: without\nit personal data cannot be read, and API keys and callback URLs are dead. Keep a copy apart\nfrom the database. Required with PostgreSQL; with SQLite it defaults to the content of\n<database file>.key, which is made when it is not there.",
            )),
            with(
                "PAYLINK_WORKERS",
                "16",
                "Jobs in work at the same time in one process, 1 to 1000.",
            ),
            optional(
                "SSL_CERT_FILE",
                "PEM file with the certificate authorities to trust for Klarna, SMTP, gateways and PostgreSQL.\nWithout it the system's are trusted.",
            ),
            with(
                "LOG",
                "info",
                "What is logged, as a tracing filter: a level (error, warn, info, debug, trace) or\ntarget=level pairs, comma-separated. Personal data is masked at every level.",
            ),
            with(
                "LOG_FORMAT",
                "text",
                "text for people, json (one object per line) for a collector.",
            ),
            optional(
                "OPERATOR_EMAIL",
                "Where alerts are mailed, one per kind and hour. Without it they are log lines, a metric and\nan entry on the console.",
            ),
        ],
    },
    Section {
        title: "Klarna",
        settings: &[
            required(
                "KLARNA_API_URL",
                "kustom (live), kustom-playground (test), or a URL without a path. A URL is https and live,\nor loopback (http allowed) and test.",
            ),
            secret(required(
                "KLARNA_USERNAME",
                "User name of the API credentials (they differ between live and playground).",
            )),
            secret(required(
                "KLARNA_PASSWORD",
                "Password of the API credentials.",
            )),
            optional(
                "KLARNA_LINK_HOSTS",
                "Hosts that a payment page may have, comma-separated: host for any port, or host:port.\nA page elsewhere is thrown away and never sent to a buyer. Presets fill it; any other URL\ndefaults to its own host, and a loopback one always adds it.",
            ),
            with(
                "KLARNA_MARKETS",
                MARKETS,
                "Country/currency pairs in which your agreement lets you sell. Others are refused with\nunsupported_country or unsupported_currency before Klarna is asked.",
            ),
            optional(
                "KLARNA_CREATES_PER_SECOND",
                "Links opened per second, all replicas together; 0 = no limit. Requests above it get 202 and\nare opened as soon as there is room. Defaults to 32 for live URLs, 4 for the playground, 0 on\nloopback (80 % of Klarna's published limits).",
            ),
            with(
                "KLARNA_LINK_SOURCE",
                "redirect",
                "Where the distributed URL is taken from: redirect (redirect_url) or qr (decoded from the\npicture at qr_code_url). `paylink check --session` shows what each answers.",
            ),
            with(
                "KLARNA_CHANNEL_TELESALES",
                "TELESALES",
                "acquiring_channel of orders sold by telephone, where your agreement has another word.",
            ),
            with(
                "KLARNA_CHANNEL_IN_STORE",
                "IN_STORE",
                "acquiring_channel of orders sold in a store, where your agreement has another word.",
            ),
            with(
                "PAYLINK_ALLOW_SIMULATOR",
                "0",
                "1 lets a loopback KLARNA_API_URL be used, 0 refuses it: a shop must not take orders that a\nsimulator pays.",
            ),
        ],
    },
    Section {
        title: "The merchant",
        settings: &[
            required(
                "MERCHANT_NAME",
                "Who the buyer reads the message is from, 1 to 100 characters.",
            ),
            required(
                "MERCHANT_TERMS_URL",
                "Your terms of sale; Klarna shows them. https (http on loopback).",
            ),
            optional(
                "MERCHANT_LOGO_URL",
                "Picture on Klarna's page where a link names none. https (http on loopback).",
            ),
            optional(
                "MERCHANT_SUPPORT",
                "E-mail or phone number in every message, for the buyer's questions.",
            ),
        ],
    },
    Section {
        title: "What a request need not say",
        settings: &[
            optional(
                "DEFAULT_COUNTRY",
                "purchase_country of links that name none: two letters, one of KLARNA_MARKETS. Without it\nsuch a link is refused with required.",
            ),
            optional(
                "DEFAULT_CURRENCY",
                "purchase_currency of links that name none: three letters, one of KLARNA_MARKETS.",
            ),
            optional(
                "DEFAULT_LOCALE",
                "locale of links that name none, such as en-GB: the language of page and messages.",
            ),
            with(
                "DEFAULT_LINE_TYPE",
                "physical",
                "Type of the one line made from an order_amount without order_lines: physical, digital,\nshipping_fee or surcharge.",
            ),
            optional(
                "DEFAULT_LINE_NAME",
                "Name of that line, 1 to 255 characters. Defaults to the link's reference.",
            ),
            optional(
                "DEFAULT_TAX_RATE",
                "Tax rate of that line in hundredths of a percent: 2000 = 20 %. Without it an order_amount\nwithout order_lines is refused.",
            ),
            with(
                "DEFAULT_TIME_ZONE",
                "UTC",
                "IANA zone of the times in messages, such as Europe/Stockholm.",
            ),
        ],
    },
    Section {
        title: "Mail",
        settings: &[
            secret(optional(
                "SMTP_URL",
                "smtps://[USER:PASSWORD@]HOST[:465] or smtp://[USER:PASSWORD@]HOST[:PORT]?tls=MODE, with MODE\nrequired (default; port 587), opportunistic or none (port 25). User and password are\npercent-encoded. Without it no link goes by mail.",
            )),
            optional(
                "SMTP_HELO",
                "Name that we greet the server with. Defaults to the host of PAYLINK_PUBLIC_URL.",
            ),
            with(
                "PAYLINK_ALLOW_INSECURE_SMTP",
                "0",
                "1 lets tls=none be used beyond loopback: messages with payment links then travel in clear.\nCredentials never do.",
            ),
            optional(
                "MAIL_FROM",
                "Sender: address, or Name <address>. Required with SMTP_URL; its domain should have SPF, DKIM\nand DMARC.",
            ),
            optional(
                "MAIL_REPLY_TO",
                "Where a buyer's answer goes. Defaults to the sender.",
            ),
            with(
                "MAIL_UNKNOWN",
                "ask",
                "What follows when nobody can tell whether a mail left: ask (a person decides) or resend_once\n(a buyer may get it twice).",
            ),
            optional(
                "EMAIL_TEMPLATES_DIR",
                "Folder whose files replace the built-in templates of the same name, those for SMS too.",
            ),
        ],
    },
    Section {
        title: "SMS",
        settings: &[
            with(
                "SMS_GATEWAY",
                "none",
                "none (no link goes by SMS), log (written to the log, masked), or http (the gateway that the\nsettings below describe).",
            ),
            optional(
                "SMS_FROM",
                "Sender: up to 11 letters and digits, or a number with +. Defaults to the first 11 letters and\ndigits of MERCHANT_NAME. Many countries want it registered.",
            ),
            optional(
                "SMS_COUNTRIES",
                "Countries whose numbers are sent to, comma-separated. Defaults to those of KLARNA_MARKETS;\neach more is one more that a fraudster can pump messages into.",
            ),
            secret(optional(
                "SMS_HTTP_URL",
                "Where a message is posted to. https (http on loopback). Required with SMS_GATEWAY=http.",
            )),
            with("SMS_HTTP_METHOD", "POST", "POST or PUT."),
            secret(optional(
                "SMS_HTTP_HEADERS",
                "Headers, one \"Name: value\" per line, such as the gateway's Authorization.",
            )),
            with(
                "SMS_HTTP_BODY",
                SMS_BODY,
                "Body as a handlebars template over to, from, text and id (the delivery's, the same in each\nrepeat). {{json x}} prints a quoted JSON string, {{url x}} percent-encodes. Sent as\napplication/json unless a header says otherwise.",
            ),
            optional(
                "SMS_HTTP_MESSAGE_ID",
                "JSON pointer to the gateway's message id in its answer, such as /messages/0/id.",
            ),
            optional(
                "SMS_HTTP_SUCCESS",
                "/pointer=value that a 2xx answer must have; one without it counts as unknown, and a person\ndecides. Without this setting every 2xx counts as sent.",
            ),
            with(
                "SMS_HTTP_IDEMPOTENT",
                "0",
                "1 when the gateway sends only one message per id, so that an unknown outcome may be\nrepeated; 0 leaves it to a person.",
            ),
        ],
    },
    Section {
        title: "Limits (0 = none; in mode test the defaults are 0)",
        settings: &[
            with(
                "LIMIT_AGENT_LINKS_PER_HOUR",
                "60",
                "Links per hour and agent (the key, or the agent that a request names). More get 429.",
            ),
            with(
                "LIMIT_TABLET_LINKS_PER_HOUR",
                "120",
                "Links per hour and tablet. More get 429.",
            ),
            with(
                "LIMIT_INTEGRATOR_LINKS_PER_HOUR",
                "0",
                "Links per hour and integrator's key. More get 429.",
            ),
            with(
                "LIMIT_RECIPIENT_SMS_PER_MINUTE",
                "1",
                "SMS per minute to one number. More get 429 send_rate_limited.",
            ),
            with(
                "LIMIT_RECIPIENT_SMS_PER_DAY",
                "5",
                "SMS per 24 hours to one number.",
            ),
            with(
                "LIMIT_RECIPIENT_MAILS_PER_DAY",
                "5",
                "Mails per 24 hours to one address.",
            ),
        ],
    },
];

/// Every setting, in the order of the sections.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}

/// The text of `.env.example`.
pub fn env_example() -> String {
    let mut text = String::from(
        "# Settings of paylink. Copy to .env and fill in; an empty value counts as absent.\n\
         # What is commented out shows its default. A secret NAME can come from a file: NAME_FILE=/path.\n\
         # `paylink check` tries what is configured. Written by the program from its own table of settings.\n",
    );
    for section in SECTIONS {
        // writing to a String cannot fail
        let _ = write!(text, "\n\n## {}\n", section.title);
        for setting in section.settings {
            text.push('\n');
            for line in setting.says.lines() {
                let _ = writeln!(text, "# {line}");
            }
            let mark = if setting.required { "" } else { "# " };
            let secret = if setting.secret { "Secret" } else { "" };
            let need = if setting.required { "Required" } else { "" };
            let notes = [need, secret].map(str::to_owned).join(" ");
            if !notes.trim().is_empty() {
                let _ = writeln!(text, "# [{}]", notes.trim().replace(' ', ", "));
            }
            let value = quoted(setting.default.unwrap_or(""));
            let _ = writeln!(text, "{mark}{}={value}", setting.name);
        }
    }
    text
}

/// As a `.env` file wants it: single quotes around what has spaces, quotes, `$` or `#`.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/,@+".contains(c);
    if value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{value}'")
    }
}
