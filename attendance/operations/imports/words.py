"""What a cell says about who came. A word that isn't here says nothing we would act on: it is listed."""

import re
import unicodedata

from config.tables import fold

from ...models import AttendanceStatus

CAME, NO, NOTHING = "came", "no", "nothing"
"""Besides the statuses: somebody came, in time or late; didn't (yet) come; and words about registration."""

WORDS = {
    CAME: """
        yes; y; true; 1; attended; checked in; checkedin; check in; arrived; came; here; joined; admitted;
        scanned; showed up; has attended; did attend
        ja; j; wahr; eingecheckt; erschienen; teilgenommen; gekommen; da
        oui; vrai; venu; venue; arrivé; arrivée; a participé; check in effectué
        sí; si; verdadero; asistió; llegó; ha asistido; ingresó
        sim; verdadeiro; compareceu; participou; chegou; check in realizado
        sì; vero; arrivato; arrivata; partecipato; ha partecipato
        waar; ingecheckt; gekomen; deelgenomen
        sant; incheckad; deltog; kom; har deltagit
        是; 有; 已報到; 已报到; 已簽到; 已签到; 已到; 已到場; 已到场; 到場; 到场; 已入場; 已入场
        はい; 済; 受付済; 受付済み; チェックイン済; チェックイン済み; 来場; 来場済; 来場済み; 入場済; 入場済み
    """,
    AttendanceStatus.PRESENT: """
        present; in attendance; on time
        anwesend; pünktlich
        présent; présente
        presente; asistente; puntual
        aanwezig; närvarande
        出席; 準時; 准时; 出席済; 出席済み
    """,
    AttendanceStatus.LATE: """
        late; arrived late; late arrival; tardy; came late; present late
        verspätet; zu spät; unpünktlich
        en retard; retard; retardataire
        tarde; llegó tarde; con retraso; retraso
        atrasado; atrasada; com atraso; chegou atrasado; atraso
        in ritardo; ritardo
        te laat; laat
        försenad; kom sent; sen ankomst
        遲到; 迟到; 遅刻
    """,
    AttendanceStatus.EXCUSED: """
        excused; excused absence; absent excused; apologies; sent apologies; with apologies
        entschuldigt; entschuldigt abwesend; entschuldigt gefehlt
        excusé; excusée; absent excusé; absente excusée; absence justifiée
        justificado; justificada; ausencia justificada; falta justificada; ausente justificado
        giustificato; giustificata; assente giustificato; assenza giustificata
        verontschuldigd; met kennisgeving afwezig
        giltig frånvaro; anmäld frånvaro; ursäktad
        請假; 请假; 公假; 公欠
    """,
    AttendanceStatus.ABSENT: """
        absent; no show; noshow; did not attend; didn't attend; not attended; did not show; did not show up; missed
        not present; unexcused; unexcused absence; absent unexcused; did not come
        abwesend; nicht anwesend; nicht erschienen; fehlt; gefehlt; unentschuldigt; nicht teilgenommen
        absente; non présent; non présente; pas venu; pas venue; non venu; n'a pas participé
        ausente; no asistió; no se presentó; no presente; no vino
        faltou; não compareceu; não participou; não veio
        assente; non presente; non presentato; non ha partecipato
        afwezig; niet aanwezig; niet verschenen; niet gekomen
        frånvarande; uteblev; ej närvarande; inte närvarande; deltog inte
        缺席; 缺勤; 未出席; 未到場; 未到场; 未到; 欠席; 無断欠席
    """,
    NO: """
        no; n; false; 0; not checked in; not arrived; not yet; not here; not checkedin; did not join; not joined
        nein; falsch; nicht eingecheckt; noch nicht
        non; faux; pas encore; non enregistré
        falso; no registrado; todavía no; aún no
        não; nao; ainda não
        non ancora; nee; onwaar; niet ingecheckt; nog niet
        nej; falskt; ej incheckad; inte incheckad; ännu inte
        否; 沒有; 没有; 未報到; 未报到; 未簽到; 未签到; 未入場; 未入场
        いいえ; 未; 未受付; 未チェックイン; 未来場; 未入場
    """,
    NOTHING: """
        attending; registered; going; approved; confirmed; accepted; pending; waitlist; waitlisted; invited; declined
        not attending; not going; maybe; unknown; n a; na; none; refunded; cancelled; canceled; deleted; transferred
        valid; paid; unpaid; completed; active; inactive; void; waiting; rsvp yes; rsvp no; expected
        angemeldet; bestätigt; zugesagt; abgesagt; storniert; eingeladen; offen; unbekannt
        inscrit; inscrite; confirmé; confirmée; annulé; annulée; invité; invitée; inconnu
        inscrito; inscrita; registrado; registrada; confirmado; confirmada; cancelado; cancelada; invitado
        convidado; pendente; pendiente; desconocido; desconhecido
        iscritto; iscritta; registrato; confermato; annullato; invitato; sconosciuto
        aangemeld; geregistreerd; bevestigd; geannuleerd; afgemeld; uitgenodigd; onbekend
        anmäld; registrerad; bekräftad; avbokad; inbjuden; okänd
        已報名; 已报名; 已確認; 已确认; 已取消; 取消; 待確認; 待确认; 候補; 候补; 未知
        申込済; 申込済み; 登録済; 登録済み; キャンセル; 未定; 不明
    """,
}
SIGNS = {
    **dict.fromkeys("✓✔☑✅○◯〇", CAME),
    **dict.fromkeys("✗✘×❌☒☐", NO),
    **dict.fromkeys("-–—.?", NOTHING),
}
"""Cells of nothing but such a sign, once or more."""


def _meanings() -> dict[str, str]:
    meanings = {}
    for meaning, words in WORDS.items():
        for word in words.replace("\n", ";").split(";"):
            if folded := fold(word):
                assert meanings.setdefault(folded, meaning) == meaning, f"“{word}” means {meanings[folded]} already"
    return meanings


MEANINGS = _meanings()


WHOLE = re.compile(r"([^\W_]+(?:(?:\s+|[-'’/._])[^\W_]+)*)[.。]?")
"""A cell that is words and nothing else: who writes "yes?" or "(yes)" has a doubt."""
TICKS = {"x", "[x]"}


def meaning_of(cell: str) -> str | None:
    """A status, CAME, NO or NOTHING; None for a word unheard of, or with anything around it."""
    cell = unicodedata.normalize("NFC", cell.strip())
    if fold(cell):
        whole = WHOLE.fullmatch(cell)
        return MEANINGS.get(fold(whole[1])) if whole else None
    signs = {SIGNS.get(char) for char in cell if char not in " \ufe0f"}
    return signs.pop() if len(signs) == 1 else NOTHING if not signs else None


def is_tick(cell: str) -> bool:
    return cell.strip().lower().removesuffix(".") in TICKS


def ticked(cells) -> bool:
    """Whether a column is ticked with an "x", and with nothing else: beside other words an x may mean no."""
    return {fold(cell) for cell in cells if cell} == {"x"}
