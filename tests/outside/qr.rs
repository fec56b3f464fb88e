//! The QR codes, read back.

use serde_json::json;

use super::harness::world::id;
use super::harness::{World, WorldPlan, sale, stories};

stories!(
    qr,
    WorldPlan::new(),
    [
        a_picture_says_the_url_byte_for_byte,
        a_drawing_says_the_same,
        size_level_and_margin_are_chosen,
        a_picture_is_for_payable_links,
    ]
);

/// The text in the QR code of a PNG.
pub fn read_png(png: &[u8]) -> String {
    let picture = image::load_from_memory(png).expect("a PNG").to_luma8();
    read(picture)
}

fn read(picture: image::GrayImage) -> String {
    let mut prepared = rqrr::PreparedImage::prepare(picture);
    let grids = prepared.detect_grids();
    assert_eq!(grids.len(), 1, "one code in the picture");
    grids[0].decode().expect("a readable code").1
}

async fn a_picture_says_the_url_byte_for_byte(w: &World) {
    let link = w.agent().creates(&sale()).await;
    let answer = w
        .agent()
        .get(link["qr"]["png"].as_str().expect("a path"))
        .await
        .expect(200);
    assert_eq!(answer.header("content-type"), Some("image/png"));
    let caching = answer.header("cache-control").unwrap_or_default();
    assert!(
        caching.contains("private") && caching.contains("no-store"),
        "{caching}"
    );
    assert_eq!(
        read_png(&answer.bytes),
        link["url"].as_str().expect("a URL")
    );
    let picture = image::load_from_memory(&answer.bytes).expect("a PNG");
    assert_eq!((picture.width(), picture.height()), (512, 512));
}

async fn a_drawing_says_the_same(w: &World) {
    let link = w.agent().creates(&sale()).await;
    let answer = w
        .agent()
        .get(link["qr"]["svg"].as_str().expect("a path"))
        .await
        .expect(200);
    assert!(
        answer
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("image/svg+xml"))
    );
    assert_eq!(
        read(drawn(&answer.text())),
        link["url"].as_str().expect("a URL")
    );
}

async fn size_level_and_margin_are_chosen(w: &World) {
    let link = w.agent().creates(&sale()).await;
    let path = link["qr"]["png"].as_str().expect("a path");
    for query in [
        "size=128&margin=0&ecc=L",
        "size=777&margin=16&ecc=H",
        "size=2048&ecc=Q",
        "ecc=M&margin=1&size=300",
    ] {
        let answer = w.agent().get(&format!("{path}?{query}")).await.expect(200);
        let picture = image::load_from_memory(&answer.bytes).expect("a PNG");
        let size: u32 = query
            .split('&')
            .find_map(|part| part.strip_prefix("size="))
            .map_or(512, |n| n.parse().unwrap());
        assert_eq!((picture.width(), picture.height()), (size, size), "{query}");
        // a code without a quiet zone is printed on white by whoever asked for none
        let mut white = image::GrayImage::from_pixel(size + 80, size + 80, image::Luma([255]));
        image::imageops::overlay(&mut white, &picture.to_luma8(), 40, 40);
        assert_eq!(read(white), link["url"].as_str().expect("a URL"), "{query}");
    }
    for (query, parameter, code) in [
        ("size=127", "size", "out_of_range"),
        ("size=2049", "size", "out_of_range"),
        ("margin=17", "margin", "out_of_range"),
        ("margin=-1", "margin", "out_of_range"),
        ("ecc=X", "ecc", "invalid_value"),
        ("colour=red", "colour", "unknown_field"),
    ] {
        let faults = w.agent().get(&format!("{path}?{query}")).await.faults();
        assert_eq!(faults, [(parameter.to_owned(), code.to_owned())], "{query}");
    }
}

async fn a_picture_is_for_payable_links(w: &World) {
    let link = w.agent().creates(&sale()).await;
    w.agent()
        .post(&format!("/v1/links/{}/disable", id(&link)), &json!({}))
        .await
        .expect(200);
    for format in ["png", "svg"] {
        let answer = w
            .agent()
            .get(link["qr"][format].as_str().expect("a path"))
            .await;
        answer.problem(410, "gone");
    }
    w.klarna.breaks("create_order", "status:503", 0).await;
    let waiting = w.agent().sends(&sale()).await.expect(202).json();
    for format in ["png", "svg"] {
        let answer = w
            .agent()
            .get(&format!("/v1/links/{}/qr.{format}", id(&waiting)))
            .await;
        answer.problem(409, "not_payable");
        assert!(answer.retry_after() > 0);
    }
    w.klarna.mends().await;
}

/// Draws the rectangles of an SVG: `<rect>` and the axis-parallel sub-paths of `<path>`, on white.
fn drawn(svg: &str) -> image::GrayImage {
    let view = attribute(svg, "viewBox").expect("a viewBox");
    let view: Vec<f64> = numbers(&view);
    let scale = 800.0 / view[2];
    let mut picture = image::GrayImage::from_pixel(800, 800, image::Luma([255]));
    for element in svg.split('<').skip(1) {
        let fill = attribute(element, "fill").unwrap_or_default();
        let white = ["#fff", "#ffffff", "white", "none"].contains(&fill.to_lowercase().as_str());
        let shade = if white { 255 } else { 0 };
        let mut boxes = Vec::new();
        if element.starts_with("rect") {
            let size = |name: &str, whole: f64| match attribute(element, name) {
                Some(text) if text.ends_with('%') => whole,
                Some(text) => numbers(&text)[0],
                None => 0.0,
            };
            boxes.push((
                size("x", 0.0),
                size("y", 0.0),
                size("width", view[2]),
                size("height", view[3]),
            ));
        } else if element.starts_with("path") {
            boxes = path_boxes(&attribute(element, "d").expect("a path's data"));
        }
        for (x, y, width, height) in boxes {
            let edge = |value: f64| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "pixels of a small picture"
                )]
                let pixel = (value * scale).round().clamp(0.0, 800.0) as u32;
                pixel
            };
            for row in edge(y - view[1])..edge(y - view[1] + height) {
                for column in edge(x - view[0])..edge(x - view[0] + width) {
                    picture.put_pixel(column, row, image::Luma([shade]));
                }
            }
        }
    }
    picture
}

fn attribute(element: &str, name: &str) -> Option<String> {
    let start = element.find(&format!(" {name}=\""))? + name.len() + 3;
    element[start..].split('"').next().map(str::to_owned)
}

fn numbers(text: &str) -> Vec<f64> {
    text.split([' ', ','])
        .filter(|word| !word.is_empty())
        .map(|word| word.parse().expect("a number"))
        .collect()
}

/// The bounding boxes of a path's sub-paths.
fn path_boxes(data: &str) -> Vec<(f64, f64, f64, f64)> {
    let mut commands: Vec<(char, String)> = Vec::new();
    for c in data.chars() {
        if c.is_ascii_alphabetic() {
            commands.push((c, String::new()));
        } else if let Some((_, arguments)) = commands.last_mut() {
            if c == '-' {
                arguments.push(' ');
            }
            arguments.push(c);
        }
    }
    let (mut boxes, mut points, mut at) = (Vec::new(), Vec::<(f64, f64)>::new(), (0.0, 0.0));
    let mut close = |points: &mut Vec<(f64, f64)>| {
        if points.len() > 1 {
            let fold = |pick: fn(&(f64, f64)) -> f64, best: fn(f64, f64) -> f64| {
                points.iter().map(pick).reduce(best)
            };
            let (left, right) = (
                fold(|p| p.0, f64::min).unwrap(),
                fold(|p| p.0, f64::max).unwrap(),
            );
            let (top, bottom) = (
                fold(|p| p.1, f64::min).unwrap(),
                fold(|p| p.1, f64::max).unwrap(),
            );
            boxes.push((left, top, right - left, bottom - top));
        }
        points.clear();
    };
    let mut begun = at;
    for (command, arguments) in commands {
        let values = numbers(&arguments);
        let from = if command.is_lowercase() {
            at
        } else {
            (0.0, 0.0)
        };
        match command.to_ascii_lowercase() {
            'm' => {
                close(&mut points);
                at = (from.0 + values[0], from.1 + values[1]);
                begun = at;
                points.push(at);
                continue;
            }
            'h' => at.0 = from.0 + values[0],
            'v' => at.1 = from.1 + values[0],
            'l' => at = (from.0 + values[0], from.1 + values[1]),
            'z' => {
                close(&mut points);
                at = begun;
                points.push(at);
                continue;
            }
            other => panic!("a QR code needs no {other}"),
        }
        points.push(at);
    }
    close(&mut points);
    boxes
}
