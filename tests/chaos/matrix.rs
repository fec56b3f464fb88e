//! The fault matrix: every step that touches the outside, met by every fault that a network or the
//! other side can have, on both databases. A cell is what the agent saw, and what became of it; what
//! is right stands in [`expected`] (failure-model.md, Step by step; contract.md).
//!
//! A fault picks one link's request out of many, so all cells of a world run at once. Faults of the
//! connection itself (refuse, TLS, DNS) can't be for one request: those have a phase each, in which
//! the whole network is down; what only happens in the background is made to wait before it begins.

mod cell;
mod expected;

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

use self::cell::{Begun, Cell};
use super::patient;
use super::proxy::{Fault, Proxy, Rule};
use super::table::Run;
use crate::outside::harness::http::Caller;
use crate::outside::harness::{World, WorldPlan, sale};

macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($variant),+ }
        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

words!(Step {
    CreateOrder = "KCO create order",
    CreateSession = "HPP create session",
    ReadSession = "HPP read",
    Disable = "HPP disable",
    Abort = "KCO abort",
    ReadPayment = "OM read",
    Acknowledge = "OM acknowledge",
    Capture = "OM capture",
    Refund = "OM refund",
    Sms = "SMS submit",
    SmtpEhlo = "SMTP connect, EHLO",
    SmtpMail = "SMTP MAIL",
    SmtpRcpt = "SMTP RCPT",
    SmtpData = "SMTP DATA",
    SmtpDot = "SMTP final dot",
});

words!(Ill {
    Refuse = "refuse",
    Dns = "DNS",
    Tls = "TLS",
    Hang = "hang",
    ResetBefore = "reset before",
    ResetAfter = "reset after",
    Half = "half answer",
    Garbage = "garbage",
    S400 = "400",
    S401 = "401",
    S404 = "404",
    S429 = "429",
    S500 = "500",
    S503 = "503",
    Drip = "drip",
});

impl Step {
    pub fn is_mail(self) -> bool {
        matches!(
            self,
            Self::SmtpEhlo | Self::SmtpMail | Self::SmtpRcpt | Self::SmtpData | Self::SmtpDot
        )
    }

    fn creates(self) -> bool {
        matches!(self, Self::CreateOrder | Self::CreateSession)
    }

    /// Nobody waits for its answer: it happens after the agent's call was answered.
    fn is_background(self) -> bool {
        matches!(self, Self::Abort | Self::ReadPayment | Self::Acknowledge)
    }
}

impl Ill {
    fn is_connection(self) -> bool {
        matches!(self, Self::Refuse | Self::Dns | Self::Tls)
    }

    /// What a proxy does for it at that step.
    fn fault(self, step: Step) -> Fault {
        // longer than a Klarna call (10 s), an SMS (15 s), and the hurried SMTP steps (3 s)
        let hang = if step == Step::Sms {
            20
        } else if step.is_mail() {
            8
        } else {
            13
        };
        // SMTP's nearest words for HTTP's
        let code = |http, smtp| Fault::Status(if step.is_mail() { smtp } else { http });
        match self {
            Self::Hang => Fault::Hang(Duration::from_secs(hang)),
            Self::ResetBefore => Fault::ResetBefore,
            Self::ResetAfter => Fault::ResetAfter,
            Self::Half => Fault::Half,
            Self::Garbage => Fault::Garbage,
            Self::S400 => code(400, 501),
            // two creates are in flight before the first 401 opens the breaker
            Self::S401 if step == Step::CreateOrder => {
                Fault::Late(Duration::from_millis(1_500), 401)
            }
            Self::S401 => code(401, 530),
            Self::S404 => code(404, 550),
            Self::S429 if step.is_mail() => Fault::Status(451),
            Self::S429 => Fault::Busy(1),
            Self::S500 => code(500, 554),
            Self::S503 => code(503, 421),
            Self::Drip => Fault::Drip(Duration::from_secs(1)),
            Self::Refuse | Self::Dns | Self::Tls => unreachable!("no proxy is reached then"),
        }
    }
}

/// Why there is no such cell; the table's footnotes.
fn no_cell(step: Step, ill: Ill) -> Option<&'static str> {
    if !ill.is_connection() {
        return None;
    }
    match step {
        Step::SmtpMail | Step::SmtpRcpt | Step::SmtpData | Step::SmtpDot => Some("–¹"),
        Step::CreateSession if ill != Ill::Refuse => Some("–²"),
        _ => None,
    }
}

const NOTES: &str = "\
¹ the connection stands by then: see SMTP connect.
² the order is asked for first and meets the same: see KCO create order.
SMTP's words for HTTP's: 400 = 501, 401 = 530, 404 = 550, 429 = 451, 500 = 554, 503 = 421.
A cell is `what the agent saw → what became of it (how often it was done)`.";

/// A world whose every way out leads through a proxy.
pub struct Scene {
    pub world: World,
    pub klarna: Proxy,
    pub sms: Proxy,
    pub mail: Proxy,
    pub agent: Caller,
}

impl Scene {
    async fn start(plan: WorldPlan) -> Self {
        let (klarna, sms, mail) = (
            Proxy::http().await,
            Proxy::http().await,
            Proxy::smtp().await,
        );
        let plan = plan
            .with(
                "KLARNA_API_URL",
                &format!("http://127.0.0.1:{}", klarna.port),
            )
            .with("KLARNA_LINK_HOSTS", "127.0.0.1")
            .with(
                "SMS_HTTP_URL",
                &format!("http://127.0.0.1:{}/send", sms.port),
            )
            .with("SMS_HTTP_SUCCESS", "/state=ok")
            .with(
                "SMTP_URL",
                &format!("smtp://127.0.0.1:{}?tls=none", mail.port),
            )
            .with("PAYLINK_CHAOS_SMTP_MS", "3000");
        let world = plan.start().await;
        let port = world.klarna.base.rsplit(':').next().expect("a port");
        klarna.leads_to(port.parse().expect("a port"));
        sms.leads_to(world.sms.port);
        mail.leads_to(world.mail.port);
        let agent = world.admin();
        Self {
            world,
            klarna,
            sms,
            mail,
            agent,
        }
    }

    async fn finish(&self, cells: Vec<Begun>) -> Vec<Cell> {
        let all = cells.into_iter().map(|begun| begun.ends(self));
        futures_util::future::join_all(all).await
    }

    async fn prepare(&self, wanted: Vec<(Step, Ill)>) -> Vec<Begun> {
        let made = wanted
            .into_iter()
            .map(|(step, ill)| Begun::prepared(self, step, ill));
        futures_util::stream::iter(made).buffered(8).collect().await
    }

    /// Healthy reads all the while: single faults must not look like an outage to the breaker.
    async fn pulses(&self) {
        futures_util::future::join_all((0..4).map(|_| self.pulse())).await;
    }

    async fn pulse(&self) {
        let link = patient::open(&self.agent, &sale()).await;
        let path = format!(
            "/v1/links/{}/refresh",
            crate::outside::harness::world::id(&link)
        );
        loop {
            self.agent.press(&path).await;
            sleep(Duration::from_millis(60)).await;
        }
    }

    /// All that a proxy can do, each to one request, all at once.
    async fn single_faults(&self, done: &mut Vec<Cell>) -> Vec<Begun> {
        let all = |mail_only: bool| {
            let mut wanted = Vec::new();
            for &step in Step::ALL {
                for &ill in Ill::ALL {
                    let later = step.creates() && ill == Ill::S401;
                    if !ill.is_connection() && !later && step.is_mail() == mail_only {
                        wanted.push((step, ill));
                    }
                }
            }
            wanted
        };
        let mut mails = self.prepare(all(true)).await;
        // nothing of a mail is known at EHLO, so one after the other; those that take long come last
        let (mut greetings, mut rest): (Vec<_>, Vec<_>) =
            mails.drain(..).partition(|one| one.step == Step::SmtpEhlo);
        greetings.sort_by_key(|one| matches!(one.ill, Ill::Hang | Ill::Drip));
        for begun in &mut greetings {
            begun.begins(self).await;
            begun.is_judged_once(self).await;
        }
        let others = self.prepare(all(false)).await;
        tokio::select! {
            () = self.pulses() => unreachable!("a pulse has no end"),
            () = async {
                let mut under_way = FuturesUnordered::new();
                for mut begun in others {
                    under_way.push(async move {
                        begun.begins(self).await;
                        begun.ends(self).await
                    });
                    // so that those that hang don't all end in one moment
                    let pause = sleep(Duration::from_millis(120));
                    tokio::pin!(pause);
                    loop {
                        tokio::select! {
                            () = &mut pause => break,
                            Some(cell) = under_way.next() => done.push(cell),
                        }
                    }
                }
                while let Some(cell) = under_way.next().await {
                    done.push(cell);
                }
            } => {}
        }
        for begun in &mut rest {
            begun.begins(self).await;
        }
        greetings.extend(rest);
        greetings
    }

    /// Every step that connection faults can be told apart at, ready to be begun.
    async fn ready(&self, ill: Ill) -> Vec<Begun> {
        let wanted = Step::ALL.iter().map(|&step| (step, ill));
        let wanted = wanted.filter(|&(step, ill)| no_cell(step, ill).is_none());
        self.prepare(wanted.collect()).await
    }

    async fn refused(&self, done: &mut Vec<Cell>) {
        let mut cells = self.ready(Ill::Refuse).await;
        for begun in cells.iter_mut().filter(|one| one.step.is_background()) {
            begun.waits(self).await;
        }
        let (session, others): (Vec<_>, Vec<_>) = cells
            .into_iter()
            .partition(|one| one.step == Step::CreateSession);
        let mut cells = others;
        // the order's answer takes its time, and when it is there the port is closed
        for mut begun in session {
            let words = ["POST /checkout/v3/orders HTTP", begun.reference.as_str()];
            let slow = Fault::Drip(Duration::from_secs(1));
            self.klarna.arm(Rule::new(&words, slow));
            let orders = self.klarna.passed_with(&["POST /checkout/v3/orders"]).len();
            let closed = async {
                while self.klarna.passed_with(&["POST /checkout/v3/orders"]).len() == orders {
                    sleep(Duration::from_millis(10)).await;
                }
                sleep(Duration::from_millis(200)).await;
                self.klarna.refuses().await;
            };
            tokio::join!(begun.begins(self), closed);
            cells.push(begun);
        }
        self.klarna.refuses().await;
        self.sms.refuses().await;
        self.mail.refuses().await;
        self.begin_the_rest(&mut cells).await;
        sleep(Duration::from_secs(4)).await;
        self.klarna.accepts().await;
        self.sms.accepts().await;
        self.mail.accepts().await;
        self.heal(&cells);
        done.extend(self.finish(cells).await);
    }

    /// What has not begun yet, side by side.
    async fn begin_the_rest(&self, cells: &mut [Begun]) {
        let rest = cells.iter_mut().filter(|one| !one.works);
        futures_util::future::join_all(rest.map(|begun| begun.begins_unruled(self))).await;
    }

    fn heal(&self, cells: &[Begun]) {
        for begun in cells {
            begun.heals(self);
        }
    }

    /// Plain text is spoken where TLS is expected.
    async fn without_tls(&self, done: &mut Vec<Cell>) {
        let mut cells = self.ready(Ill::Tls).await;
        for begun in cells.iter_mut().filter(|one| one.step.is_background()) {
            begun.waits(self).await;
        }
        self.world.crashes();
        self.world.comes_back_with(&[
            (
                "KLARNA_API_URL",
                &format!("https://127.0.0.1:{}", self.klarna.port),
            ),
            (
                "SMS_HTTP_URL",
                &format!("https://127.0.0.1:{}/send", self.sms.port),
            ),
            ("SMTP_URL", &format!("smtps://127.0.0.1:{}", self.mail.port)),
        ]);
        self.begin_the_rest(&mut cells).await;
        sleep(Duration::from_secs(4)).await;
        self.world.crashes();
        self.heal(&cells);
        self.world.comes_back();
        done.extend(self.finish(cells).await);
    }

    /// No name is known. A Klarna that is not on this machine makes the service a live one, which no
    /// key of a test reaches: so everything waits already when the names go.
    async fn without_names(&self, done: &mut Vec<Cell>) {
        let mut cells = self.ready(Ill::Dns).await;
        futures_util::future::join_all(cells.iter_mut().map(|begun| begun.waits(self))).await;
        self.world.crashes();
        self.world.comes_back_with(&[
            ("KLARNA_API_URL", "https://klarna.invalid"),
            ("PAYLINK_PUBLIC_URL", "https://pay.example.com"),
            ("SMS_HTTP_URL", "https://sms.invalid/send"),
            ("SMTP_URL", "smtp://mail.invalid:2525?tls=required"),
        ]);
        sleep(Duration::from_secs(8)).await;
        self.world.crashes();
        self.heal(&cells);
        self.world.comes_back();
        done.extend(self.finish(cells).await);
    }

    /// The breaker is open for a minute afterwards: last.
    async fn no_access(&self, done: &mut Vec<Cell>) {
        let wanted = vec![
            (Step::CreateOrder, Ill::S401),
            (Step::CreateSession, Ill::S401),
        ];
        let mut cells = self.prepare(wanted).await;
        futures_util::future::join_all(cells.iter_mut().map(|begun| begun.begins(self))).await;
        done.extend(self.finish(cells).await);
    }
}

async fn matrix(plan: WorldPlan, database: &str) {
    let mut run = Run::begin("fault matrix", database, 1, 1);
    let scene = Arc::new(Scene::start(plan).await);
    let mut done = Vec::new();
    let mails = scene.single_faults(&mut done).await;
    eprintln!("{database}: {} cells of single requests", done.len());
    let opened = scene.world.stderr().matches("klarna circuit open").count();
    run.measured("breaker opened by single faults", opened.to_string());
    scene.refused(&mut done).await;
    scene.without_tls(&mut done).await;
    scene.without_names(&mut done).await;
    // most of these had a minute to wait: in the meantime the others were done
    done.extend(scene.finish(mails).await);
    scene.no_access(&mut done).await;
    let cells: HashMap<_, _> = done
        .iter()
        .map(|cell| ((cell.step, cell.ill), cell))
        .collect();
    eprintln!("{}", table(database, &cells));
    for &step in Step::ALL {
        for &ill in Ill::ALL {
            if no_cell(step, ill).is_some() {
                continue;
            }
            let Some(cell) = cells.get(&(step, ill)) else {
                run.violated(format!("{} × {}: no cell", step.word(), ill.word()));
                continue;
            };
            run.count("cells", 1_u32);
            for wrong in expected::wrong(cell) {
                run.violated(format!("{} × {}: {wrong}", step.word(), ill.word()));
            }
        }
    }
    let scene = Arc::into_inner(scene).expect("nobody else holds the scene");
    let stderr = scene.world.stderr();
    run.holds(!stderr.contains("panicked"), || {
        let at = stderr.find("panicked").unwrap_or_default();
        format!("a panic: {}", &stderr[at..(at + 300).min(stderr.len())])
    });
    let Scene { world, .. } = scene;
    world.drops_database().await;
    run.end();
}

fn table(database: &str, cells: &HashMap<(Step, Ill), &Cell>) -> String {
    let mut text = format!("\n### {database}\n\n| step |");
    for ill in Ill::ALL {
        let _ = write!(text, " {} |", ill.word());
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(Ill::ALL.len()));
    for &step in Step::ALL {
        let _ = write!(text, "\n| {} |", step.word());
        for &ill in Ill::ALL {
            let said = match (no_cell(step, ill), cells.get(&(step, ill))) {
                (Some(note), _) => note.to_owned(),
                (None, Some(cell)) => cell.to_string(),
                (None, None) => "?".to_owned(),
            };
            let _ = write!(text, " {said} |");
        }
    }
    let _ = write!(text, "\n\n{NOTES}\n");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    matrix(WorldPlan::new().on_sqlite(), "SQLite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    match WorldPlan::new().on_postgres() {
        Some(plan) => matrix(plan, "PostgreSQL").await,
        None => eprintln!("skipped: PAYLINK_TEST_POSTGRES names no server"),
    }
}
