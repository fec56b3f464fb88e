use std::time::Duration;

use secrecy::SecretString;

use super::sample_mail;
use super::server::Act::{Drop, Hear, Mail, Say, Stall, Tls};
use super::server::{Act, roots, scripted, settings};
use crate::channel::Outcome;
use crate::channel::mail::{Mailer, Security, compose};
use crate::link::{Reason, ReasonCode};

pub(super) const HELLO: [Act; 3] = [
    Say("220 mail.example.com\r\n"),
    Hear("EHLO pay.example.com"),
    Say("250 mail.example.com\r\n"),
];
pub(super) const ENVELOPE: [Act; 6] = [
    Hear("MAIL FROM:<pay@example.com>"),
    Say("250 ok\r\n"),
    Hear("RCPT TO:<jo@example.com>"),
    Say("250 ok\r\n"),
    Hear("DATA"),
    Say("354 go\r\n"),
];
pub(super) const TAKEN: [Act; 2] = [Mail, Say("250 2.0.0 Ok: queued as 4XyZ\r\n")];

pub(super) fn script(parts: &[&[Act]]) -> Vec<Act> {
    parts.concat()
}

/// Sends one mail to a server that plays `script`: what came of it, and what the server heard.
async fn send(security: Security, script: Vec<Act>) -> (Outcome, Vec<String>) {
    let (address, heard) = scripted(vec![script]).await;
    let mailer = Mailer::new(settings(address, security));
    let outcome = mailer.send(&sample_mail()).await;
    drop(mailer);
    (outcome, heard.await.unwrap().remove(0))
}

#[tokio::test]
async fn a_mail_goes_out_word_for_word() {
    let (outcome, heard) = send(Security::None, script(&[&HELLO, &ENVELOPE, &TAKEN])).await;
    let Outcome::Sent {
        gateway,
        message_id,
        segments,
        detail,
    } = outcome
    else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        (gateway.as_str(), message_id.as_deref(), segments),
        ("smtp", Some("4XyZ"), None)
    );
    assert_eq!(detail, "250 2.0.0 Ok: queued as 4XyZ");
    // what arrives is what was composed, once the dots are undone
    let from = "Shop <pay@example.com>".parse().unwrap();
    let composed = compose(&sample_mail(), &from, None).unwrap().bytes;
    let body = heard.last().unwrap();
    assert!(body.contains("\r\n..\r\n") && body.contains("\r\n...tv=C3=A5\r\n"));
    let plain = body
        .strip_suffix(".\r\n")
        .unwrap()
        .replace("\r\n..", "\r\n.");
    assert_eq!(plain.as_bytes(), composed);
}

#[tokio::test]
async fn pipelining_is_used_where_it_is_offered() {
    let hello = [
        Say("220 x\r\n"),
        Hear("EHLO"),
        Say("250-x\r\n250 pipelining\r\n"),
    ];
    // the server answers only when it has all three
    let all = [
        Hear("MAIL"),
        Hear("RCPT"),
        Hear("DATA"),
        Say("250 ok\r\n250 ok\r\n354 go\r\n"),
    ];
    let (outcome, _) = send(Security::None, script(&[&hello, &all, &TAKEN])).await;
    assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
    // DATA accepted behind a refused recipient: no byte of the body leaves
    let refused = [
        Hear("MAIL"),
        Hear("RCPT"),
        Hear("DATA"),
        Say("250 ok\r\n550 5.1.1 no such user\r\n354 go\r\n"),
        Stall,
    ];
    let (outcome, heard) = send(Security::None, script(&[&hello, &refused])).await;
    assert_eq!(
        code(&outcome),
        ("refused", Some(ReasonCode::InvalidRecipient))
    );
    assert_eq!(heard.last().unwrap(), "");
}

pub(super) fn code(outcome: &Outcome) -> (&'static str, Option<ReasonCode>) {
    match outcome {
        Outcome::Sent { .. } => ("sent", None),
        Outcome::Refused(reason) => ("refused", Some(reason.code)),
        Outcome::Later {
            reason,
            connection: true,
            ..
        } => ("unreached", Some(reason.code)),
        Outcome::Later {
            reason,
            connection: false,
            ..
        } => ("later", Some(reason.code)),
        Outcome::Unknown { .. } => ("unknown", None),
    }
}

/// Acts before the fault, acts of the fault, what comes of it.
type Row = (
    &'static [Act],
    &'static [Act],
    (&'static str, Option<ReasonCode>),
);

#[tokio::test]
async fn each_step_fails_in_its_own_way() {
    use ReasonCode::{GatewayAuth, InvalidRecipient, Rejected};
    let rejected = Some(Rejected);
    let (mail, rcpt, data) = (&ENVELOPE[..1], &ENVELOPE[..3], &ENVELOPE[..5]);
    let rows: &[Row] = &[
        (&[], &[Say("421 busy\r\n")], ("later", rejected)),
        (&[], &[Say("554 no service\r\n")], ("refused", rejected)),
        (&[], &[Drop], ("unreached", rejected)),
        (&[], &[Say("SSH-2.0-x\r\n")], ("unreached", rejected)),
        (&HELLO[..2], &[Say("501 who?\r\n")], ("refused", rejected)),
        (&HELLO[..2], &[Drop], ("unreached", rejected)),
        (mail, &[Say("451 later\r\n")], ("later", rejected)),
        (mail, &[Say("553 not you\r\n")], ("refused", rejected)),
        (
            mail,
            &[Say("530 sign in\r\n")],
            ("refused", Some(GatewayAuth)),
        ),
        (mail, &[Drop], ("unreached", rejected)),
        (rcpt, &[Say("450 greylisted\r\n")], ("later", rejected)),
        (
            rcpt,
            &[Say("550 5.1.1 unknown\r\n")],
            ("refused", Some(InvalidRecipient)),
        ),
        (
            rcpt,
            &[Say("553 bad name\r\n")],
            ("refused", Some(InvalidRecipient)),
        ),
        (
            rcpt,
            &[Say("550 5.7.1 relaying denied\r\n")],
            ("refused", rejected),
        ),
        (rcpt, &[Say("552 full\r\n")], ("refused", rejected)),
        (rcpt, &[Drop], ("unreached", rejected)),
        (data, &[Say("554 no\r\n")], ("refused", rejected)),
        (data, &[Say("250 ok\r\n")], ("unreached", rejected)),
        (
            data,
            &[Say("354 go\r\n250 early\r\n"), Stall],
            ("unreached", rejected),
        ),
        (data, &[Drop], ("unreached", rejected)),
        (&ENVELOPE, &[Hear("From:"), Drop], ("unknown", None)),
        (&ENVELOPE, &[Mail, Drop], ("unknown", None)),
        (&ENVELOPE, &[Mail, Say("what?\r\n")], ("unknown", None)),
        (&ENVELOPE, &[Mail, Say("354 go\r\n")], ("unknown", None)),
        (&ENVELOPE, &[Mail, Say("451 full\r\n")], ("later", rejected)),
        (
            &ENVELOPE,
            &[Mail, Say("550 spam\r\n")],
            ("refused", rejected),
        ),
    ];
    for (before, then, expected) in rows {
        let early = before.is_empty() || before.len() == 2;
        let hello: &[Act] = if early { &[] } else { &HELLO };
        let (outcome, _) = send(Security::None, script(&[hello, before, then])).await;
        assert_eq!(
            code(&outcome),
            *expected,
            "{before:?} {then:?}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn each_step_has_its_own_time() {
    let whole = script(&[&HELLO, &ENVELOPE]);
    // silence instead of the greeting, of the answers to EHLO, MAIL, RCPT and DATA
    for before in [0, 2, 4, 6, 8] {
        let (address, _heard) = scripted(vec![script(&[&whole[..before], &[Stall]])]).await;
        let mut settings = settings(address, Security::None);
        settings.timeouts.command = Duration::from_millis(200);
        let outcome = Mailer::new(settings).send(&sample_mail()).await;
        assert_eq!(code(&outcome).0, "unreached", "{before}: {outcome:?}");
    }
    let (address, _heard) = scripted(vec![vec![Stall]]).await;
    let mut implicit = settings(address, Security::Implicit);
    implicit.timeouts.command = Duration::from_millis(20);
    let outcome = Mailer::new(implicit).send(&sample_mail()).await;
    assert_eq!(code(&outcome).0, "unreached", "{outcome:?}");
    // the final dot waits by its own clock, and silence there proves nothing
    let (address, _heard) = scripted(vec![script(&[&whole, &[Mail, Stall]])]).await;
    let mut settings = settings(address, Security::None);
    settings.timeouts.final_dot = Duration::from_millis(20);
    let outcome = Mailer::new(settings).send(&sample_mail()).await;
    assert_eq!(code(&outcome).0, "unknown", "{outcome:?}");
}

#[tokio::test]
async fn nobody_listens() {
    let (address, heard) = scripted(vec![]).await;
    heard.await.unwrap();
    let outcome = Mailer::new(settings(address, Security::None))
        .send(&sample_mail())
        .await;
    assert_eq!(code(&outcome).0, "unreached");
}

#[tokio::test]
async fn the_recipient_is_masked_in_the_servers_words() {
    let no = [Say("550 5.1.1 <jo@example.com>: unknown\r\n")];
    let (outcome, _) = send(Security::None, script(&[&HELLO, &ENVELOPE[..3], &no])).await;
    assert_eq!(
        outcome,
        Outcome::Refused(Reason {
            code: ReasonCode::InvalidRecipient,
            detail: "550 5.1.1 <j***@example.com>: unknown (in answer to RCPT TO)".into()
        })
    );
    let no = [Say("550 5.1.1 Jo: no such user\r\n")];
    let (outcome, _) = send(Security::None, script(&[&HELLO, &ENVELOPE[..3], &no])).await;
    let Outcome::Refused(reason) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        reason.detail,
        "550 5.1.1 j***: no such user (in answer to RCPT TO)"
    );
    let yes = [Mail, Say("250 queued as 4XyZ for <jo@example.com>\r\n")];
    let (outcome, _) = send(Security::None, script(&[&HELLO, &ENVELOPE, &yes])).await;
    assert_eq!(
        outcome.detail(),
        "250 queued as 4XyZ for <j***@example.com>"
    );
}

async fn signed_in(security: Security, script: Vec<Act>) -> Outcome {
    let (address, _heard) = scripted(vec![script]).await;
    let mut settings = settings(address, security);
    settings.credentials = Some(("user".into(), SecretString::from("p:ss")));
    Mailer::new(settings).send(&sample_mail()).await
}

#[tokio::test]
async fn signing_in() {
    let offers = |offer| [Say("220 x\r\n"), Hear("EHLO"), Say(offer)];
    let plain = offers("250-x\r\n250 AUTH LOGIN PLAIN\r\n");
    // base64 of NUL user NUL p:ss
    let ask = [Hear("AUTH PLAIN AHVzZXIAcDpzcw=="), Say("235 in\r\n")];
    let outcome = signed_in(Security::None, script(&[&plain, &ask, &ENVELOPE, &TAKEN])).await;
    assert_eq!(code(&outcome).0, "sent", "{outcome:?}");
    let login = offers("250-x\r\n250 AUTH LOGIN CRAM-MD5\r\n");
    let ask = [
        Hear("AUTH LOGIN"),
        Say("334 VXNlcm5hbWU6\r\n"),
        Hear("dXNlcg=="),
        Say("334 UGFzc3dvcmQ6\r\n"),
        Hear("cDpzcw=="),
        Say("235 in\r\n"),
    ];
    let outcome = signed_in(Security::None, script(&[&login, &ask, &ENVELOPE, &TAKEN])).await;
    assert_eq!(code(&outcome).0, "sent", "{outcome:?}");
    let auth = Some(ReasonCode::GatewayAuth);
    for (answer, expected) in [
        ("535 5.7.8 wrong\r\n", ("refused", auth)),
        ("454 later\r\n", ("later", auth)),
    ] {
        let no = [Hear("AUTH PLAIN"), Say(answer)];
        let outcome = signed_in(Security::None, script(&[&plain, &no])).await;
        assert_eq!(code(&outcome), expected);
    }
    let outcome = signed_in(Security::None, script(&[&offers("250 x\r\n"), &[Stall]])).await;
    assert_eq!(code(&outcome), ("later", auth));
}

const STARTTLS: [Act; 3] = [
    Say("220 x\r\n"),
    Hear("EHLO"),
    Say("250-x\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n"),
];
const UPGRADE: [Act; 5] = [
    Hear("STARTTLS"),
    Say("220 go\r\n"),
    Tls,
    Hear("EHLO"),
    Say("250 x\r\n"),
];

#[tokio::test]
async fn tls_both_ways() {
    for security in [Security::Required, Security::Opportunistic] {
        let (outcome, _) = send(security, script(&[&STARTTLS, &UPGRADE, &ENVELOPE, &TAKEN])).await;
        assert_eq!(code(&outcome).0, "sent", "{outcome:?}");
    }
    let (outcome, _) = send(
        Security::Implicit,
        script(&[&[Tls], &HELLO, &ENVELOPE, &TAKEN]),
    )
    .await;
    assert_eq!(code(&outcome).0, "sent", "{outcome:?}");
    // what was offered before TLS is forgotten: AUTH is not offered behind it
    let outcome = signed_in(Security::Required, script(&[&STARTTLS, &UPGRADE, &[Stall]])).await;
    assert_eq!(code(&outcome), ("later", Some(ReasonCode::GatewayAuth)));
}

#[tokio::test]
async fn required_tls_is_required() {
    let (outcome, heard) = send(Security::Required, script(&[&HELLO, &[Stall]])).await;
    assert_eq!(code(&outcome).0, "later");
    assert_eq!(heard.last().unwrap(), "");
    let (outcome, _) = send(
        Security::Opportunistic,
        script(&[&HELLO, &ENVELOPE, &TAKEN]),
    )
    .await;
    assert_eq!(code(&outcome).0, "sent");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    for (security, before) in [
        (Security::Required, &STARTTLS[..]),
        (Security::Opportunistic, &STARTTLS),
        (Security::Implicit, &[]),
    ] {
        let upgrade = if before.is_empty() {
            &UPGRADE[2..3]
        } else {
            &UPGRADE[..3]
        };
        let (address, _heard) = scripted(vec![script(&[before, upgrade, &[Stall]])]).await;
        let mut settings = settings(address, security);
        settings.roots = rustls::RootCertStore::empty().into();
        let outcome = Mailer::new(settings).send(&sample_mail()).await;
        assert_eq!(code(&outcome).0, "unreached", "{outcome:?}");
    }
    assert_eq!(roots().len(), 1);
}

/// The injection itself was seen, not only a handshake that failed for some reason.
fn turned_away(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Later { reason, connection: true, .. } if reason.detail.contains("out of turn"))
}

#[tokio::test]
async fn clear_text_behind_starttls_is_not_believed() {
    // everything the client would want to hear is injected, behind the 220 or before the question
    let injected = "220 go\r\n250 x\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued as LIE\r\n";
    let (outcome, heard) = send(
        Security::Required,
        script(&[&STARTTLS, &[Hear("STARTTLS"), Say(injected), Stall]]),
    )
    .await;
    assert!(turned_away(&outcome), "{outcome:?}");
    assert_eq!(heard.last().unwrap(), "");
    let early = [
        Say("220 x\r\n"),
        Hear("EHLO"),
        Say("250-x\r\n250 STARTTLS\r\n220 go\r\n"),
        Stall,
    ];
    let (outcome, heard) = send(Security::Required, script(&[&early])).await;
    assert!(turned_away(&outcome), "{outcome:?}");
    assert_eq!(heard.last().unwrap(), "");
}
