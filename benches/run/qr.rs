//! A QR code as PNG: a URL of 120 characters at 600 pixels.

use std::time::Instant;

use paylink::channel::qr::{self, Look};

use super::Fallible;
use super::figures::{Table, micros, quantile};

const TURNS: usize = 2_000;

/// As long as Klarna's own links are.
pub fn url() -> String {
    let url = "https://pay.playground.klarna.com/eu/hpp/payments/3v6XuaU?token=";
    format!("{url:0<120}")
}

/// As a mail carries it.
pub fn png() -> Fallible<Vec<u8>> {
    let look = Look {
        size: 600,
        ..Look::default()
    };
    Ok(qr::png(&url(), &look)?)
}

pub fn measure(table: &mut Table) -> Fallible<()> {
    let mut times = Vec::with_capacity(TURNS);
    let mut bytes = 0;
    for _ in 0..TURNS {
        let begun = Instant::now();
        bytes = std::hint::black_box(png()?).len();
        times.push(begun.elapsed().as_secs_f64());
    }
    let note = format!("{bytes} bytes");
    table.row(
        "QR code as PNG, 120 characters, 600 px, p50",
        micros(quantile(&mut times, 0.5)),
        &note,
    );
    Ok(())
}
