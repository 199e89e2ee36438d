"""Words of other languages than English for folders that are hardly classes: what people and their file managers call
what is not sorted yet, was taken out, or is a copy."""

from __future__ import annotations

import re
import unicodedata

UNSORTED = (
    # German, Dutch and the North
    r"unsortiert\w*|ungelabelt\w*|unklassifiziert\w*|unbearbeitet\w*|unklar\w*|sonstiges?|diverses?|verschiedenes|"
    r"(?:nicht|noch nicht) (?:sortiert|zugeordnet|klassifiziert|gelabelt|bearbeitet|geprüft)\w*|neuer ordner|"
    r"(?:noch )?(?:zu |zum )?(?:sortieren|klassifizieren|prüfen|labeln)|ongesorteerd\w*|niet gesorteerd|"
    r"nog te sorteren|diversen|nieuwe map|osorterade?|usorteret|usortert|ny mapp|ny mappe|uusi kansio|"
    # the Romance languages
    r"(?:à|a) (?:trier|classer|vérifier|étiqueter|traiter)|non (?:trié|classé|étiqueté|traité)\w*|inclassé\w*|"
    r"en vrac|nouveau dossier|(?:sin|por|para) (?:clasificar|etiquetar|ordenar|revisar)|sin (?:clase|etiqueta)|"
    r"no clasificad\w+|varios|nueva carpeta|(?:sem|por|para) (?:classificar|etiquetar|organizar|rotular)|"
    r"(?:sem|não) (?:classe|classificad\w+)|diversos|nova pasta|nuova cartella|varie|"
    r"(?:da|non) (?:classificare|ordinare|smistare|etichettare|classificat\w+|ordinat\w+|etichettat\w+)|"
    # Poland, Turkey, Russia and Ukraine
    r"nieposortowan\w+|niesklasyfikowan\w+|do (?:posortowania|sprawdzenia)|różne|nowy folder|sınıflandırılmamış|"
    r"sıralanmamış|yeni klasör|не ?разобран\w*|не ?(?:от)?сортирован\w*|разобрать|разное|новая папка|нова папка|"
    # China, Japan and Korea
    r"(?:未分类|未分類|未标注|未標註|未标记|未整理|待分类|待分類|待标注|待处理)(?:的?(?:图片|圖片|照片|图像)|の?(?:画像|写真))?|"
    r"杂项|新建文件夹|新文件夹|新しいフォルダー?|미분류|새 폴더"
)
TAKEN_OUT = (
    r"aussortiert\w*|gelöscht\w*|zu löschen|nicht verwenden|duplikate?|doppelte?|verwijderd|supprimé\w*|"
    r"papierkorb|corbeille|papelera|lixeira|cestino|корзина|回收站|ゴミ箱|휴지통|eliminad[oa]s|borrad[oa]s|удал[её]н\w*|已删除|削除済み"
)
PLAIN = r"alle|gesamt|todas|todos|toutes?|tutte|tutti|все|全部|beispiele?|ejemplos?|exemplos?|exemples?|esempi"
COPIES = r"sicherung(?:en)?|kopien?|copies?|copie|sauvegardes?|copias?|kopia|yedek|копия|копии|备份|副本|複製|コピー"
FILLERS = (
    r"bilder|aufnahmen|ordner|dateien|foto|fotos|afbeeldingen|bestanden|fichiers|dossier|imagen|imágenes|archivos|carpeta|"
    r"imagem|imagens|arquivos|pasta|immagini|file|cartella|zdjęcia|pliki|resim|resimler|фото|изображения|картинки|файлы"
)


def plain_letters(text: str) -> str:
    """Return a text in small letters and without accents."""
    apart = unicodedata.normalize("NFKD", text.casefold().replace("ı", "i"))
    return unicodedata.normalize("NFC", "".join(sign for sign in apart if not unicodedata.combining(sign)))


def words_in_any_letters(name: str) -> list[str]:
    """Return the words of a name in small letters and without accents, of whatever writing."""
    return re.findall(r"[^\W\d_]+|\d+", plain_letters(name))
