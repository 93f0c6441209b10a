/* The character classes of BERT's normaliser and pre-tokenizer. */
#ifndef DK_TEXT_BERT_CHARS_H
#define DK_TEXT_BERT_CHARS_H

#include <stdbool.h>
#include <stdint.h>

bool dk_bert_is_dropped(int32_t c);     /* NUL, U+FFFD, controls, formats, private use */
bool dk_bert_is_cjk(int32_t c);         /* ideographs, which become words of their own */
bool dk_bert_is_mark(int32_t c);        /* the accents that are stripped */
bool dk_bert_is_punctuation(int32_t c); /* ASCII punctuation and symbols, Unicode P* */

#endif
