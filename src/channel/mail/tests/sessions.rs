use std::time::Duration;

use super::conversation::{ENVELOPE, HELLO, TAKEN, code, script};
use super::sample_mail;
use super::server::Act::{Drop, Hear, Say, Stall};
use super::server::{scripted, settings, willing};
use crate::channel::mail::{Mailer, Security, Step};

#[tokio::test]
async fn a_session_carries_many_mails_and_then_says_goodbye() {
    let first = script(&[
        &HELLO,
        &ENVELOPE,
        &TAKEN,
        &ENVELOPE,
        &TAKEN,
        &[Hear("QUIT"), Say("221 bye\r\n")],
    ]);
    let (address, heard) = scripted(vec![first]).await;
    let mut settings = settings(address, Security::None);
    settings.timeouts.idle = Duration::from_millis(300);
    let mailer = Mailer::new(settings);
    for _ in 0..2 {
        assert_eq!(code(&mailer.send(&sample_mail()).await).0, "sent");
    }
    // nobody sends any more: the idle session is closed by itself
    assert_eq!(heard.await.unwrap()[0].last().unwrap(), "QUIT");
    assert!(mailer.0.idle().is_empty());
}

#[tokio::test]
async fn a_session_that_died_idle_costs_no_attempt() {
    for end in [
        &[Drop][..],
        &[Hear("MAIL"), Say("421 idle too long\r\n"), Drop],
    ] {
        let scripts = vec![
            script(&[&HELLO, &ENVELOPE, &TAKEN, end]),
            script(&[&HELLO, &ENVELOPE, &TAKEN]),
        ];
        let (address, heard) = scripted(scripts).await;
        let mailer = Mailer::new(settings(address, Security::None));
        for _ in 0..2 {
            let outcome = mailer.send(&sample_mail()).await;
            assert_eq!(code(&outcome).0, "sent", "{outcome:?}");
        }
        assert_eq!(heard.await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn an_error_ends_the_session() {
    let refused = [
        Hear("MAIL"),
        Say("250 ok\r\n"),
        Hear("RCPT"),
        Say("550 no\r\n"),
        Stall,
    ];
    let scripts = vec![
        script(&[&HELLO, &refused]),
        script(&[&HELLO, &ENVELOPE, &TAKEN]),
    ];
    let (address, heard) = scripted(scripts).await;
    let mailer = Mailer::new(settings(address, Security::None));
    assert_eq!(code(&mailer.send(&sample_mail()).await).0, "refused");
    assert_eq!(code(&mailer.send(&sample_mail()).await).0, "sent");
    heard.await.unwrap();
}

#[tokio::test]
async fn any_number_of_tasks_share_few_sessions() {
    let (address, counts) = willing().await;
    let mailer = Mailer::new(settings(address, Security::None));
    let tasks: Vec<_> = (0..40)
        .map(|_| {
            let mailer = mailer.clone();
            tokio::spawn(async move { mailer.send(&sample_mail()).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(code(&task.await.unwrap()).0, "sent");
    }
    let (connections, mails) = *counts.lock().unwrap();
    assert_eq!(mails, 40);
    assert!((1..=8).contains(&connections), "{connections}");
}

#[tokio::test]
async fn a_session_ends_after_a_hundred_mails() {
    let (address, counts) = willing().await;
    let mailer = Mailer::new(settings(address, Security::None));
    for _ in 0..101 {
        assert_eq!(code(&mailer.send(&sample_mail()).await).0, "sent");
    }
    assert_eq!(*counts.lock().unwrap(), (2, 101));
}

#[tokio::test]
async fn the_probe_signs_in_and_sends_nothing() {
    let ask = [
        Hear("NOOP"),
        Say("250 ok\r\n"),
        Hear("QUIT"),
        Say("221 bye\r\n"),
    ];
    let (address, heard) = scripted(vec![script(&[&HELLO, &ask])]).await;
    let seen = Mailer::new(settings(address, Security::None))
        .probe()
        .await
        .unwrap();
    assert!(
        seen.contains("not encrypted") && seen.contains("no sign-in"),
        "{seen}"
    );
    heard.await.unwrap();
    let (address, heard) = scripted(vec![]).await;
    heard.await.unwrap();
    let fault = Mailer::new(settings(address, Security::None))
        .probe()
        .await
        .unwrap_err();
    assert_eq!(fault.step(), Step::Connect);
}
