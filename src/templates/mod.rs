//! Words for people: messages and pages in the buyer's language, amounts and dates in the locale's form.
