//! Alerts: what a person should look at. An ERROR line, a metric, an entry in the database, and a
//! mail to the operator, one per kind and hour (`contract.md`, Settings: `OPERATOR_EMAIL`).

use super::House;
use super::observe::Alarms;
use crate::channel::mail::Mail;
use crate::link::LinkId;

impl House {
    /// Tells a person. Never fails: what cannot be stored or mailed is at least in the log.
    pub(crate) async fn alert(&self, kind: &'static str, detail: &str, link: Option<LinkId>) {
        tracing::error!(kind, link = link.map(|id| id.to_string()), detail, "alert");
        metrics::counter!("paylink_alerts_total", "kind" => kind).increment(1);
        let (now, words) = (self.clock.now(), detail.to_owned());
        let stored = self
            .store
            .write(move |tx| tx.alert(kind, &words, link, now))
            .await;
        match stored {
            Ok(true) => self.mail_operator(kind, detail).await,
            Ok(false) => {}
            Err(error) => tracing::error!(%error, kind, "an alert could not be stored"),
        }
    }

    /// Sounds what a transaction asked for, once it is committed.
    pub(super) async fn sound(&self, alarms: Alarms, link: LinkId) {
        for (kind, detail) in alarms {
            self.alert(kind, &detail, Some(link)).await;
        }
    }

    async fn mail_operator(&self, kind: &str, detail: &str) {
        let (Some(to), Some(mailer)) = (&self.settings.operator, &self.mailer) else {
            return;
        };
        let now = self.clock.now();
        let text = format!(
            "paylink asks for a person to look.\n\nKind: {kind}\nWhat: {detail}\nWhen: {now}\n"
        );
        let mail = Mail {
            to: to.clone(),
            subject: format!("paylink alert: {kind}"),
            html: format!(
                "<p>paylink asks for a person to look.</p><p>{kind}: {detail}<br>{now}</p>"
            ),
            text,
            qr_png: None,
            message_id: format!(
                "<alert-{}@{}>",
                self.random.uuid(),
                self.settings.mail_domain
            ),
            date: now,
            language: "en".into(),
        };
        let outcome = mailer.send(&mail).await;
        tracing::info!(
            kind,
            outcome = outcome.word(),
            "an alert was mailed to the operator"
        );
    }
}
