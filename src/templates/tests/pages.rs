//! The pages that a buyer comes back to.

use super::*;

#[test]
fn pages_are_whole_documents_without_scripts_styles_or_personal_data() {
    let templates = templates();
    for locale in LOCALES {
        for landing in Landing::ALL {
            for facts in [PageFacts::of(&link(locale)), PageFacts::unknown(locale)] {
                let page = templates.page(landing, &facts).unwrap();
                assert!(
                    page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>")
                );
                assert!(page.contains(&format!("<html lang=\"{locale}\">")));
                assert!(page.contains("href=\"/assets/paylink.css\""));
                for banned in [
                    "{{", "<script", "style=", "<style", "Bloggs", " onclick", "@",
                ] {
                    assert!(!page.contains(banned), "{banned} on {landing:?}");
                }
                assert!(
                    !page.contains("class=\"lead\"></p>"),
                    "{landing:?} says nothing"
                );
                let refreshes = page.contains("http-equiv=\"refresh\"");
                assert_eq!(refreshes, landing == Landing::Asking);
                assert!(page.contains("tel:+442079460123"));
            }
        }
    }
}

#[test]
fn the_page_follows_what_was_read_back() {
    let mut link = link("en-GB");
    let page = |link: &Link| {
        templates()
            .page(Landing::of(link), &PageFacts::of(link))
            .unwrap()
    };

    let back = page(&link);
    assert!(
        back.contains("You have not paid yet") && back.contains(URL),
        "{back}"
    );
    assert!(back.contains("stays open until Wed 25 Nov, 13:02 GMT."));

    let paid = |fraud: Option<&str>| Stage::Completed {
        pair: pair(),
        at: until(),
        payment: Box::new(Payment {
            fraud_status: fraud.map(Into::into),
            ..Payment::authorized()
        }),
    };
    link.stage = paid(None);
    link.klarna.reference = Some("KX4M7Q2B".into());
    let success = page(&link);
    assert!(success.contains("<dt>Paid</dt><dd>£500.00</dd>") && success.contains("KX4M7Q2B"));
    assert!(!success.contains(URL), "a paid link offers no way to pay");

    link.stage = paid(Some("PENDING"));
    assert!(
        page(&link).contains("not yet approved") && !page(&link).contains("data-tone=\"paid\"")
    );
    link.stage = paid(Some("REJECTED"));
    assert!(page(&link).contains("This link cannot be used again") && !page(&link).contains(URL));

    link.stage = Stage::Expired {
        pair: Some(pair()),
        at: until(),
    };
    assert!(page(&link).contains("This payment link is closed") && !page(&link).contains(URL));
}
