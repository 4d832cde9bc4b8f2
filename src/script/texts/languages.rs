//! The texts themselves. As short as they can be understood, and, where the language can do without other letters, of
//! the characters of GSM-7 only: one other letter halves what a message can hold.

/// Templates of a language, as (name, source).
type Lines = &'static [(&'static str, &'static str)];

/// By language.
pub(super) const LANGUAGES: &[(&str, Lines)] = &[
    ("en", ENGLISH),
    ("de", GERMAN),
    ("es", SPANISH),
    ("fr", FRENCH),
    ("it", ITALIAN),
    ("nl", DUTCH),
    ("ru", RUSSIAN),
];

const ENGLISH: Lines = &[
    ("how", "Reply {{ take }} {{ code }} = take, {{ pass }} {{ code }} = pass on, {{ end }} {{ code }} = over"),
    (
        "pages",
        "{{ count }} incidents: {{ all }}{% if more %}; {{ more }} more{% endif %}. {{ how }}, {{ take }} all = take all",
    ),
    ("missed", "Missed call. {{ page }}"),
    ("no_words", "an alert without words"),
    ("alerts", "{{ count }} alerts"),
    ("over", "It is over: {{ told }}"),
    ("taken", "Taken by {{ by }}: {{ told }}"),
    ("shift_begins", "You are on call now: {{ schedule }}{% if until %}, until {{ until }}{% endif %}"),
    (
        "shift_ends",
        "You are no longer on call: {{ schedule }}{% if next %}. Next: {{ next }}{% else %}. Nobody is next{% endif %}",
    ),
    ("done_acknowledge", "Done: you have taken {{ codes }}."),
    ("done_escalate", "Done: {{ codes }} passed on."),
    ("done_resolve", "Done: {{ codes }} resolved."),
    ("nobody_left", "Passed on: {{ codes }}, but nobody is left to call."),
    ("no_such", "Not open: {{ codes }}."),
    ("which", "Which one? Open: {{ codes }}. Reply for instance {{ key }} {{ code }}, or {{ key }} all"),
    ("nothing_open", "Nothing is open for you."),
    ("not_by_text", "This needs your PIN: please do it on the telephone."),
    ("stopped", "You get no more texts at this number. Calls still come. START turns texts on again."),
    ("started", "You get texts at this number again. STOP turns them off."),
    (
        "help",
        "{{ take }} = take, {{ pass }} = pass on, {{ end }} = over; one of several with its code: {{ take }} 17. STOP = no more texts",
    ),
    ("raised", "Thank you: your text is an alert now."),
    ("not_understood", "Not understood."),
];

const GERMAN: Lines = &[
    (
        "how",
        "Antwort {{ take }} {{ code }} = übernehmen, {{ pass }} {{ code }} = weitergeben, {{ end }} {{ code }} = erledigt",
    ),
    (
        "pages",
        "{{ count }} Vorfälle: {{ all }}{% if more %}; {{ more }} weitere{% endif %}. {{ how }}, {{ take }} alle = alle übernehmen",
    ),
    ("missed", "Verpasster Anruf. {{ page }}"),
    ("no_words", "ein Alarm ohne Worte"),
    ("alerts", "{{ count }} Alarme"),
    ("over", "Es ist vorbei: {{ told }}"),
    ("taken", "{{ by }} hat übernommen: {{ told }}"),
    ("shift_begins", "Sie haben jetzt Bereitschaft: {{ schedule }}{% if until %}, bis {{ until }}{% endif %}"),
    (
        "shift_ends",
        "Ihre Bereitschaft ist zu Ende: {{ schedule }}{% if next %}. Nach Ihnen: {{ next }}{% else %}. Nach Ihnen: niemand{% endif %}",
    ),
    ("done_acknowledge", "Gut: Sie haben {{ codes }} übernommen."),
    ("done_escalate", "Gut: {{ codes }} weitergegeben."),
    ("done_resolve", "Gut: {{ codes }} erledigt."),
    ("nobody_left", "Weitergegeben: {{ codes }}, aber niemand ist mehr übrig."),
    ("no_such", "Nicht offen: {{ codes }}."),
    ("which", "Welcher? Offen: {{ codes }}. Antwort z.B. {{ key }} {{ code }}, oder {{ key }} alle"),
    ("nothing_open", "Für Sie ist nichts offen."),
    ("not_by_text", "Dafür ist Ihre PIN nötig: bitte am Telefon."),
    ("stopped", "Sie bekommen an diese Nummer keine SMS mehr. Anrufe kommen weiter. START schaltet SMS wieder ein."),
    ("started", "Sie bekommen an diese Nummer wieder SMS. STOPP schaltet sie aus."),
    (
        "help",
        "{{ take }} = übernehmen, {{ pass }} = weitergeben, {{ end }} = erledigt; einen von mehreren mit Nummer: {{ take }} 17. STOPP = keine SMS mehr",
    ),
    ("raised", "Danke: Ihre SMS ist jetzt ein Alarm."),
    ("not_understood", "Nicht verstanden."),
];

const SPANISH: Lines = &[
    (
        "how",
        "Responda {{ take }} {{ code }} = lo tomo, {{ pass }} {{ code }} = siguiente, {{ end }} {{ code }} = resuelto",
    ),
    (
        "pages",
        "{{ count }} incidentes: {{ all }}{% if more %}; otros {{ more }}{% endif %}. {{ how }}, {{ take }} todos = tomo todos",
    ),
    ("missed", "Llamada perdida. {{ page }}"),
    ("no_words", "una alerta sin texto"),
    ("alerts", "{{ count }} alertas"),
    ("over", "Resuelto: {{ told }}"),
    ("taken", "Lo tiene {{ by }}: {{ told }}"),
    ("shift_begins", "Empieza su guardia: {{ schedule }}{% if until %}, hasta {{ until }}{% endif %}"),
    (
        "shift_ends",
        "Termina su guardia: {{ schedule }}{% if next %}. Sigue: {{ next }}{% else %}. No sigue nadie{% endif %}",
    ),
    ("done_acknowledge", "Hecho: usted tiene {{ codes }}."),
    ("done_escalate", "Hecho: {{ codes }} pasa al siguiente."),
    ("done_resolve", "Hecho: {{ codes }} resuelto."),
    ("nobody_left", "{{ codes }}: no queda nadie a quien avisar."),
    ("no_such", "No abierto: {{ codes }}."),
    ("which", "Elija uno. Abiertos: {{ codes }}. Responda por ejemplo {{ key }} {{ code }}, o {{ key }} todos"),
    ("nothing_open", "No hay nada abierto para usted."),
    ("not_by_text", "Hace falta su PIN: por favor, por teléfono."),
    ("stopped", "Este teléfono ya no recibe SMS. Las llamadas siguen. START los activa de nuevo."),
    ("started", "Este teléfono recibe SMS de nuevo. STOP los desactiva."),
    (
        "help",
        "{{ take }} = lo tomo, {{ pass }} = siguiente, {{ end }} = resuelto; uno de varios con su cifra: {{ take }} 17. STOP = sin SMS",
    ),
    ("raised", "Gracias: su SMS es ahora una alerta."),
    ("not_understood", "No entendido."),
];

const FRENCH: Lines = &[
    (
        "how",
        "Répondez {{ take }} {{ code }} = je prends, {{ pass }} {{ code }} = suivant, {{ end }} {{ code }} = réglé",
    ),
    (
        "pages",
        "{{ count }} incidents: {{ all }}{% if more %}; {{ more }} de plus{% endif %}. {{ how }}, {{ take }} tous = je prends tous",
    ),
    ("missed", "Appel manqué. {{ page }}"),
    ("no_words", "une alerte sans texte"),
    ("alerts", "{{ count }} alertes"),
    ("over", "C'est terminé: {{ told }}"),
    ("taken", "Pris par {{ by }}: {{ told }}"),
    ("shift_begins", "Votre astreinte commence: {{ schedule }}{% if until %}, jusqu'à {{ until }}{% endif %}"),
    (
        "shift_ends",
        "Votre astreinte se termine: {{ schedule }}{% if next %}. Après vous: {{ next }}{% else %}. Après vous: personne{% endif %}",
    ),
    ("done_acknowledge", "C'est fait: vous avez pris {{ codes }}."),
    ("done_escalate", "C'est fait: {{ codes }} passe au suivant."),
    ("done_resolve", "C'est fait: {{ codes }} réglé."),
    ("nobody_left", "{{ codes }}: il ne reste personne à appeler."),
    ("no_such", "Pas ouvert: {{ codes }}."),
    ("which", "Lequel? Ouverts: {{ codes }}. Répondez par exemple {{ key }} {{ code }}, ou {{ key }} tous"),
    ("nothing_open", "Rien n'est ouvert pour vous."),
    ("not_by_text", "Il faut votre PIN: par téléphone uniquement."),
    ("stopped", "Plus de SMS à ce numéro. Les appels continuent. START les réactive."),
    ("started", "Vous recevez de nouveau des SMS à ce numéro. STOP les coupe."),
    (
        "help",
        "{{ take }} = je prends, {{ pass }} = suivant, {{ end }} = réglé; un parmi plusieurs avec son code: {{ take }} 17. STOP = plus de SMS",
    ),
    ("raised", "Merci: votre SMS est maintenant une alerte."),
    ("not_understood", "Pas compris."),
];

const ITALIAN: Lines = &[
    (
        "how",
        "Rispondi {{ take }} {{ code }} = prendo, {{ pass }} {{ code }} = prossimo, {{ end }} {{ code }} = risolto",
    ),
    (
        "pages",
        "{{ count }} incidenti: {{ all }}{% if more %}; altri {{ more }}{% endif %}. {{ how }}, {{ take }} tutti = prendo tutti",
    ),
    ("missed", "Chiamata persa. {{ page }}"),
    ("no_words", "un allarme senza testo"),
    ("alerts", "{{ count }} allarmi"),
    ("over", "Finito: {{ told }}"),
    ("taken", "Preso da {{ by }}: {{ told }}"),
    ("shift_begins", "Inizia la tua reperibilità: {{ schedule }}{% if until %}, fino a {{ until }}{% endif %}"),
    (
        "shift_ends",
        "Finisce la tua reperibilità: {{ schedule }}{% if next %}. Dopo di te: {{ next }}{% else %}. Dopo di te: nessuno{% endif %}",
    ),
    ("done_acknowledge", "Fatto: hai preso {{ codes }}."),
    ("done_escalate", "Fatto: {{ codes }} passa al prossimo."),
    ("done_resolve", "Fatto: {{ codes }} risolto."),
    ("nobody_left", "{{ codes }}: non resta nessuno da chiamare."),
    ("no_such", "Non aperto: {{ codes }}."),
    ("which", "Quale? Aperti: {{ codes }}. Rispondi per esempio {{ key }} {{ code }}, o {{ key }} tutti"),
    ("nothing_open", "Per te non c'è niente di aperto."),
    ("not_by_text", "Serve il tuo PIN: per telefono, per favore."),
    ("stopped", "Niente più SMS a questo numero. Le chiamate continuano. START li riattiva."),
    ("started", "Ricevi di nuovo SMS a questo numero. STOP li disattiva."),
    (
        "help",
        "{{ take }} = prendo, {{ pass }} = prossimo, {{ end }} = risolto; uno tra tanti col suo codice: {{ take }} 17. STOP = niente SMS",
    ),
    ("raised", "Grazie: il tuo SMS ora è un allarme."),
    ("not_understood", "Non capito."),
];

const DUTCH: Lines = &[
    (
        "how",
        "Antwoord {{ take }} {{ code }} = neem ik, {{ pass }} {{ code }} = volgende, {{ end }} {{ code }} = opgelost",
    ),
    (
        "pages",
        "{{ count }} incidenten: {{ all }}{% if more %}; nog {{ more }}{% endif %}. {{ how }}, {{ take }} alle = neem ik alle",
    ),
    ("missed", "Gemiste oproep. {{ page }}"),
    ("no_words", "een melding zonder tekst"),
    ("alerts", "{{ count }} meldingen"),
    ("over", "Het is voorbij: {{ told }}"),
    ("taken", "Overgenomen door {{ by }}: {{ told }}"),
    ("shift_begins", "Je dienst begint: {{ schedule }}{% if until %}, tot {{ until }}{% endif %}"),
    (
        "shift_ends",
        "Je dienst is voorbij: {{ schedule }}{% if next %}. Na jou: {{ next }}{% else %}. Na jou: niemand{% endif %}",
    ),
    ("done_acknowledge", "Gedaan: je hebt {{ codes }} overgenomen."),
    ("done_escalate", "Gedaan: {{ codes }} gaat naar de volgende."),
    ("done_resolve", "Gedaan: {{ codes }} opgelost."),
    ("nobody_left", "{{ codes }}: er is niemand meer om te bellen."),
    ("no_such", "Niet open: {{ codes }}."),
    ("which", "Welke? Open: {{ codes }}. Antwoord bijvoorbeeld {{ key }} {{ code }}, of {{ key }} alle"),
    ("nothing_open", "Er staat niets voor je open."),
    ("not_by_text", "Hiervoor is je PIN nodig: graag per telefoon."),
    ("stopped", "Je krijgt geen sms meer op dit nummer. Oproepen blijven komen. START zet sms weer aan."),
    ("started", "Je krijgt weer sms op dit nummer. STOP zet ze uit."),
    (
        "help",
        "{{ take }} = neem ik, {{ pass }} = volgende, {{ end }} = opgelost; een van meer met zijn code: {{ take }} 17. STOP = geen sms meer",
    ),
    ("raised", "Dank: je sms is nu een melding."),
    ("not_understood", "Niet begrepen."),
];

const RUSSIAN: Lines = &[
    ("how", "Ответ {{ take }} {{ code }} = беру, {{ pass }} {{ code }} = дальше, {{ end }} {{ code }} = решено"),
    (
        "pages",
        "Инциденты ({{ count }}): {{ all }}{% if more %}; ещё {{ more }}{% endif %}. {{ how }}, {{ take }} все = беру все",
    ),
    ("missed", "Пропущен звонок. {{ page }}"),
    ("no_words", "тревога без текста"),
    ("alerts", "тревог: {{ count }}"),
    ("over", "Решено: {{ told }}"),
    ("taken", "Взято ({{ by }}): {{ told }}"),
    ("shift_begins", "Ваше дежурство началось: {{ schedule }}{% if until %}, до {{ until }}{% endif %}"),
    (
        "shift_ends",
        "Ваше дежурство окончено: {{ schedule }}{% if next %}. После вас: {{ next }}{% else %}. После вас: никого{% endif %}",
    ),
    ("done_acknowledge", "Готово: за вами {{ codes }}."),
    ("done_escalate", "Готово: {{ codes }} передано дальше."),
    ("done_resolve", "Готово: {{ codes }} решено."),
    ("nobody_left", "{{ codes }}: больше звонить некому."),
    ("no_such", "Не открыто: {{ codes }}."),
    ("which", "Какой? Открыты: {{ codes }}. Ответьте, например, {{ key }} {{ code }} или {{ key }} все"),
    ("nothing_open", "Для вас ничего не открыто."),
    ("not_by_text", "Нужен ваш PIN: пожалуйста, по телефону."),
    ("stopped", "SMS на этот номер больше не приходят. Звонки остаются. СТАРТ включит SMS снова."),
    ("started", "SMS на этот номер снова приходят. СТОП отключит их."),
    (
        "help",
        "{{ take }} = беру, {{ pass }} = дальше, {{ end }} = решено; один из нескольких с кодом: {{ take }} 17. СТОП = без SMS",
    ),
    ("raised", "Спасибо: ваше SMS стало тревогой."),
    ("not_understood", "Не понято."),
];
