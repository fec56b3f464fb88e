//! What paylink costs, in one table: `cargo bench --bench run`. It needs nothing but this
//! repository; `PAYLINK_TEST_POSTGRES` (the URL of a PostgreSQL that may be written to) adds the
//! rows of PostgreSQL.
//!
//! Service and simulator are processes of the binary as it is shipped; load generator, mail sink
//! and QR code are in this one. Where a figure is a ratio, both sides ran here, in turn, and the
//! median of five rounds of each counts. Nothing is judged: machines are noisy.
#![forbid(unsafe_code)]

mod creates;
mod figures;
mod mails;
mod postgres;
mod process;
mod qr;
mod upstream;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use creates::Shop;
use figures::{Table, kib, micros, rate};
use process::{Folder, Process};
use upstream::Upstream;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Clients of the rows about throughput.
const CLIENTS: usize = 32;

#[tokio::main]
async fn main() -> ExitCode {
    // `cargo test --all-targets` starts benches, too, and nobody wants to wait for this one then
    if !std::env::args().any(|word| word == "--bench") {
        println!("run it with: cargo bench --bench run");
        return ExitCode::SUCCESS;
    }
    // reqwest asks for the process's provider of cryptography even where it speaks no TLS
    drop(rustls::crypto::ring::default_provider().install_default());
    match run().await {
        Ok(table) => {
            print!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("run: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Fallible<Table> {
    let mut table = Table::new()?;
    let folder = Folder::new()?;
    let http = reqwest::Client::builder()
        .no_proxy()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(CLIENTS)
        .build()?;
    table.row(
        "one fdatasync of this disk, p50",
        micros(figures::fdatasync(folder.path())?),
        "",
    );

    let simulator = Process::simulator(folder.path())?;
    let url = format!("sqlite://{}", folder.path().join("bench.db").display());
    sqlite(&mut table, &http, &simulator, &folder, &url).await?;
    if let Some(database) = postgres::Database::create().await? {
        let outcome = on_postgres(&mut table, &http, &simulator, &folder, &database).await;
        database.drop().await?;
        outcome?;
    } else {
        table.row(
            "creates on PostgreSQL",
            "-".into(),
            "PAYLINK_TEST_POSTGRES is not set",
        );
    }
    drop(simulator);

    qr::measure(&mut table)?;
    mails::measure(&mut table).await?;
    let bytes = std::fs::metadata(process::BINARY)?.len();
    table.row("binary", kib(bytes / 1024), "stripped");
    Ok(table)
}

async fn sqlite(
    table: &mut Table,
    http: &reqwest::Client,
    simulator: &Process,
    folder: &Folder,
    url: &str,
) -> Fallible<()> {
    let service = Process::service(folder.path(), url, &simulator.url)?;
    let ready = format!("{:.0} ms", service.started_in.as_secs_f64() * 1e3);
    table.row("start to ready, empty SQLite", ready, "");
    // the data of phone numbers is read behind the start
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = service.resident()?;
    let shop = Shop::new(http.clone(), &service);
    let upstream = Upstream::learn(http.clone(), simulator, &shop).await?;

    let alone = creates::one_client(&shop, &upstream).await?;
    let note = format!("the two calls alone {}", micros(alone.upstream_p50));
    table.row(
        "added latency per create, 1 client, SQLite, p50",
        micros(alone.added_p50),
        &note,
    );
    table.row(
        "the same, p99",
        micros(alone.added_p99),
        "less the same p50",
    );
    let busy = creates::many_clients(&shop, &upstream, &service, CLIENTS).await?;
    table.row(
        "creates, 32 clients, SQLite FULL",
        rate(busy.creates),
        &busy.ratio(),
    );
    table.row("resident memory idle", kib(idle), "phone data loaded");
    table.row(
        "the same under 32 clients, highest",
        kib(busy.resident),
        "SQLite",
    );
    Ok(())
}

async fn on_postgres(
    table: &mut Table,
    http: &reqwest::Client,
    simulator: &Process,
    folder: &Folder,
    database: &postgres::Database,
) -> Fallible<()> {
    let service = Process::service(folder.path(), &database.url, &simulator.url)?;
    let shop = Shop::new(http.clone(), &service);
    let upstream = Upstream::learn(http.clone(), simulator, &shop).await?;
    let alone = creates::one_client(&shop, &upstream).await?;
    table.row(
        "added latency per create, 1 client, PostgreSQL, p50",
        micros(alone.added_p50),
        &database.settings,
    );
    table.row(
        "the same, p99",
        micros(alone.added_p99),
        "less the same p50",
    );
    let busy = creates::many_clients(&shop, &upstream, &service, CLIENTS).await?;
    table.row(
        "creates, 32 clients, PostgreSQL",
        rate(busy.creates),
        &busy.ratio(),
    );
    table.row(
        "resident memory under 32 clients, highest",
        kib(busy.resident),
        "PostgreSQL",
    );
    Ok(())
}
