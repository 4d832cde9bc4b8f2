//! The words that mean something, in the languages that texts are written in. All folded.
//!
//! Words of every language are understood from everybody: who has been texted in English may answer in German.
//! `ok` and `yes` take nothing: people say so to anything.

/// What a word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Acknowledge,
    Escalate,
    Resolve,
    Stop,
    Start,
    Help,
    /// All of them.
    All,
    /// It may stand beside another word, and changes nothing.
    Filler,
}

use Word::{Acknowledge, All, Escalate, Filler, Help, Resolve, Start, Stop};

/// Words with one meaning.
type Group = (Word, &'static [&'static str]);

/// By language, then by meaning.
pub(super) const WORDS: [(&str, &[Group]); 7] = [
    (
        "en",
        &[
            (Acknowledge, &["ack", "acked", "acknowledge", "acknowledged", "take", "taken", "taking", "mine"]),
            (Escalate, &["esc", "escalate", "escalated", "next", "pass"]),
            (Resolve, &["resolve", "resolved", "done", "fixed", "close", "closed", "solved"]),
            // What carriers and Twilio take for it, whatever we do.
            (Stop, &["stop", "stopall", "unsubscribe", "optout", "revoke", "quit", "cancel", "end"]),
            (Start, &["start", "unstop", "subscribe"]),
            (Help, &["help", "info", "commands"]),
            (All, &["all", "everything", "both"]),
            (
                Filler,
                &["please", "and", "i", "it", "this", "the", "incident", "incidents", "number", "thanks", "thx", "ok"],
            ),
        ],
    ),
    (
        "de",
        &[
            (
                Acknowledge,
                &[
                    "bestatigt",
                    "bestaetigt",
                    "bestatige",
                    "bestaetige",
                    "ubernehme",
                    "uebernehme",
                    "ubernommen",
                    "uebernommen",
                    "quittiert",
                    "quittiere",
                ],
            ),
            (Escalate, &["eskalieren", "eskaliere", "weiter", "weitergeben"]),
            (Resolve, &["erledigt", "gelost", "geloest", "behoben", "fertig"]),
            (Stop, &["stopp", "abmelden", "abbestellen"]),
            (Start, &["anmelden", "starten"]),
            (Help, &["hilfe", "befehle"]),
            (All, &["alle", "alles", "beide"]),
            (Filler, &["bitte", "und", "ich", "es", "das", "den", "vorfall", "vorfalle", "nummer", "nr", "danke"]),
        ],
    ),
    (
        "es",
        &[
            (Acknowledge, &["confirmo", "confirmado", "confirmar", "acepto", "aceptado", "tomo", "tomado"]),
            (Escalate, &["escalar", "escalo", "siguiente"]),
            (Resolve, &["resuelto", "resuelta", "resolver", "solucionado", "hecho"]),
            (Stop, &["parar", "baja", "alto"]),
            (Start, &["alta", "iniciar", "empezar"]),
            (Help, &["ayuda"]),
            (All, &["todo", "todos", "todas", "ambos"]),
            (Filler, &["por", "favor", "y", "yo", "lo", "los", "incidente", "incidentes", "numero", "gracias"]),
        ],
    ),
    (
        "fr",
        &[
            (Acknowledge, &["acquitte", "acquitter", "confirme", "confirmer", "prends", "pris", "recu"]),
            (Escalate, &["escalader", "escalade", "suivant"]),
            (Resolve, &["resolu", "resolue", "resoudre", "regle", "termine"]),
            (Stop, &["arret", "arreter", "desabonner"]),
            (Start, &["demarrer", "reprendre", "abonner"]),
            (Help, &["aide"]),
            (All, &["tout", "tous", "toutes"]),
            (Filler, &["s", "il", "te", "vous", "plait", "svp", "et", "je", "le", "les", "j", "ai", "merci"]),
        ],
    ),
    (
        "it",
        &[
            (Acknowledge, &["confermo", "confermato", "conferma", "prendo", "preso", "presa", "accetto"]),
            (Escalate, &["escalare", "prossimo", "successivo"]),
            (Resolve, &["risolto", "risolta", "risolvere", "fatto", "chiuso"]),
            (Stop, &["ferma", "basta", "disattiva"]),
            (Start, &["attiva", "riattiva", "inizia"]),
            (Help, &["aiuto"]),
            (All, &["tutto", "tutti", "tutte", "entrambi"]),
            (Filler, &["per", "favore", "prego", "e", "io", "lo", "la", "li", "incidenti", "grazie"]),
        ],
    ),
    (
        "nl",
        &[
            (Acknowledge, &["bevestig", "bevestigd", "bevestigen", "overgenomen", "neem"]),
            (Escalate, &["escaleer", "escaleren", "volgende"]),
            (Resolve, &["opgelost", "klaar", "gereed", "afgehandeld"]),
            (Stop, &["afmelden", "stoppen"]),
            (Start, &["aanmelden", "beginnen"]),
            (Help, &["hulp"]),
            (All, &["allemaal", "allebei"]),
            (Filler, &["alsjeblieft", "graag", "en", "ik", "het", "incidenten", "bedankt"]),
        ],
    ),
    (
        "ru",
        &[
            (Acknowledge, &["принял", "приняла", "принято", "принимаю", "беру", "подтверждаю"]),
            (Escalate, &["эскалация", "эскалировать", "дальше", "следующии"]),
            (Resolve, &["решено", "решил", "решила", "готово", "исправлено", "устранено"]),
            (Stop, &["стоп", "отписаться"]),
            (Start, &["старт", "подписаться"]),
            (Help, &["помощь", "справка"]),
            (All, &["все", "оба"]),
            (Filler, &["пожалуиста", "и", "я", "это", "инцидент", "номер", "спасибо"]),
        ],
    ),
];

/// What a folded word means, if anything.
pub(super) fn meaning(word: &str) -> Option<Word> {
    let groups = WORDS.iter().flat_map(|(_, groups)| groups.iter());
    groups.into_iter().find(|(_, words)| words.contains(&word)).map(|(meaning, _)| *meaning)
}

/// How automatic replies begin, or what they have in them; folded.
const AUTOMATIC: [&str; 30] = [
    "auto reply",
    "autoreply",
    "auto response",
    "automatic reply",
    "automatic response",
    "automated",
    "out of office",
    "out of the office",
    "i m driving",
    "do not reply",
    "do not disturb",
    "rates may apply",
    "to unsubscribe",
    "to opt out",
    "automatische antwort",
    "automatisch generiert",
    "abwesenheit",
    "ich fahre gerade",
    "nicht auf diese",
    "respuesta automatica",
    "fuera de la oficina",
    "estoy conduciendo",
    "reponse automatique",
    "message automatique",
    "risposta automatica",
    "sto guidando",
    "automatisch antwoord",
    "afwezig",
    "автоответ",
    "автоматическ",
];

/// Whether a folded text, its words one space apart, looks as if nobody had written it.
pub(super) fn looks_automatic(folded: &str) -> bool {
    AUTOMATIC.iter().any(|part| folded.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::fold::fold;

    #[test]
    fn a_word_means_one_thing_in_all_languages_and_is_folded() {
        for (language, groups) in WORDS {
            for (own, words) in groups {
                for word in *words {
                    assert_eq!(fold(word), *word, "{language}");
                    assert_eq!(meaning(word), Some(*own), "{language}: {word}");
                }
            }
        }
        for part in AUTOMATIC {
            assert_eq!(fold(part), part);
        }
    }

    #[test]
    fn every_language_has_words_for_everything() {
        for (language, groups) in WORDS {
            let meanings: Vec<Word> = groups.iter().map(|(meaning, _)| *meaning).collect();
            assert_eq!(meanings, [Acknowledge, Escalate, Resolve, Stop, Start, Help, All, Filler], "{language}");
        }
    }
}
