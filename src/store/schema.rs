//! The tables as Diesel knows them: the same on both databases, in the order of the migrations.

diesel::table! {
    link (id) {
        id -> Text,
        version -> BigInt,
        sequence -> BigInt,
        store -> Text,
        mode -> Text,
        agent -> Nullable<Text>,
        created_by -> Text,
        reference -> Text,
        use_case -> Text,
        country -> Text,
        currency -> Text,
        locale -> Text,
        order_amount -> BigInt,
        order_tax_amount -> BigInt,
        sale -> Text,
        personal -> Nullable<Binary>,
        page -> Text,
        auto_capture -> Bool,
        metadata -> Text,
        status -> Text,
        pairs_tried -> Nullable<BigInt>,
        pair_number -> Nullable<BigInt>,
        klarna_order -> Nullable<Text>,
        klarna_session -> Nullable<Text>,
        url -> Nullable<Text>,
        id_check_url -> Nullable<Text>,
        until_at -> Nullable<BigInt>,
        consumer -> Nullable<Text>,
        stage_at -> Nullable<BigInt>,
        stage_by -> Nullable<Text>,
        stage_why -> Nullable<Text>,
        failure_code -> Nullable<Text>,
        failure_detail -> Nullable<Text>,
        failure_klarna -> Nullable<Text>,
        payment_status -> Nullable<Text>,
        fraud_status -> Nullable<Text>,
        captured_amount -> Nullable<BigInt>,
        refunded_amount -> Nullable<BigInt>,
        remaining_amount -> Nullable<BigInt>,
        payment_expires_at -> Nullable<BigInt>,
        buyer -> Nullable<Binary>,
        live_reference -> Nullable<Text>,
        wanted_end -> Nullable<BigInt>,
        klarna_status -> Nullable<Text>,
        klarna_reference -> Nullable<Text>,
        klarna_updated_at -> Nullable<BigInt>,
        klarna_expires_at -> Nullable<BigInt>,
        klarna_verified_at -> Nullable<BigInt>,
        closing_reason -> Nullable<Text>,
        closing_note -> Nullable<Text>,
        renewed_from -> Nullable<Text>,
        renewed_by -> Nullable<Text>,
        viewed -> Bool,
        mismatch -> Bool,
        acknowledged -> Bool,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}
diesel::table! {
    token (hash) {
        hash -> Binary,
        link -> Text,
        pair -> BigInt,
    }
}
diesel::table! {
    delivery (id) {
        id -> Text,
        link -> Text,
        channel -> Text,
        recipient -> Binary,
        recipient_blind -> Binary,
        recipient_masked -> Text,
        template -> Text,
        agent -> Nullable<Text>,
        status -> Text,
        attempts -> BigInt,
        reason_code -> Nullable<Text>,
        reason_detail -> Nullable<Text>,
        sent_at -> Nullable<BigInt>,
        next_attempt_at -> Nullable<BigInt>,
        gateway -> Nullable<Text>,
        gateway_message_id -> Nullable<Text>,
        segments -> Nullable<BigInt>,
        created_at -> BigInt,
    }
}
diesel::table! {
    attempt (delivery, claim) {
        delivery -> Text,
        claim -> BigInt,
        begun_at -> BigInt,
        finished_at -> Nullable<BigInt>,
        outcome -> Nullable<Text>,
        detail -> Nullable<Text>,
    }
}
diesel::table! {
    event (n) {
        n -> BigInt,
        id -> Text,
        position -> Nullable<BigInt>,
        kind -> Text,
        store -> Nullable<Text>,
        link -> Nullable<Text>,
        sequence -> Nullable<BigInt>,
        delivery -> Nullable<Text>,
        created_by -> Nullable<Text>,
        created_at -> BigInt,
        json -> Text,
    }
}
diesel::table! {
    event_head (id) {
        id -> BigInt,
        position -> BigInt,
    }
}
diesel::table! {
    job (id) {
        id -> Text,
        kind -> Text,
        subject -> Text,
        link -> Text,
        due_at -> BigInt,
        ready_at -> Nullable<BigInt>,
        again_at -> Nullable<BigInt>,
        owner -> Nullable<Text>,
        lease_until -> Nullable<BigInt>,
        attempt -> BigInt,
        tries -> BigInt,
        parked -> Bool,
        hinted -> Bool,
    }
}
diesel::table! {
    idempotency (scope, key) {
        scope -> Text,
        key -> Text,
        fingerprint -> Binary,
        link -> Nullable<Text>,
        answer -> Nullable<Text>,
        resource -> Nullable<Text>,
        at -> BigInt,
    }
}
diesel::table! {
    api_key (id) {
        id -> Text,
        name -> Text,
        role -> Text,
        store -> Text,
        mode -> Text,
        hash -> Binary,
        expires_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        created_at -> BigInt,
    }
}
diesel::table! {
    alert (kind, hour) {
        kind -> Text,
        hour -> BigInt,
        detail -> Text,
        link -> Nullable<Text>,
        at -> BigInt,
        count -> BigInt,
    }
}
diesel::table! {
    audit (n) {
        n -> BigInt,
        at -> BigInt,
        actor -> Text,
        verb -> Text,
        subject -> Text,
        detail -> Text,
        hash -> Binary,
    }
}
diesel::table! {
    audit_head (id) {
        id -> BigInt,
        n -> BigInt,
        hash -> Binary,
    }
}
diesel::table! {
    lookup (hash, created_at, link) {
        hash -> Binary,
        created_at -> BigInt,
        link -> Text,
        kind -> Text,
    }
}
diesel::table! {
    operation (id) {
        id -> Text,
        link -> Text,
        kind -> Text,
        amount -> Nullable<BigInt>,
        reference -> Nullable<Text>,
        lines -> Text,
        shipments -> Text,
        status -> Text,
        klarna_id -> Nullable<Text>,
        outcome_at -> Nullable<BigInt>,
        failure_code -> Nullable<Text>,
        failure_detail -> Nullable<Text>,
        failure_klarna -> Nullable<Text>,
        asked_at -> Nullable<BigInt>,
        created_by -> Text,
        created_at -> BigInt,
    }
}
diesel::table! {
    recovery (id) {
        id -> BigInt,
        marked_at -> BigInt,
        step -> Text,
        cursor_at -> Nullable<BigInt>,
        cursor_id -> Nullable<Text>,
        silent_since -> Nullable<BigInt>,
        owner -> Nullable<Text>,
        lease_until -> Nullable<BigInt>,
    }
}
diesel::table! {
    drift (what) {
        what -> Text,
        count -> BigInt,
    }
}

diesel::joinable!(token -> link (link));
diesel::joinable!(lookup -> link (link));
diesel::allow_tables_to_appear_in_same_query!(link, token, lookup, delivery, attempt);
