/* The precompiled character map of SentencePiece models: a double array (Darts-clone) that maps
 * byte strings to replacements, and the two ways in which it is applied to a text: as the
 * SentencePiece library does (longest rule at each position, spaces folded and escaped), and as the
 * tokenizers library does (per grapheme cluster). */
#ifndef DK_TEXT_CHARSMAP_H
#define DK_TEXT_CHARSMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "text/trie.h"

typedef struct dk_charsmap {
    uint32_t *unit;
    size_t n;
    char *pool; /* NUL-terminated replacements, one more NUL behind */
    size_t pool_len;
} dk_charsmap;

/* The blob is copied; len 0 is a map without rules. */
int dk_charsmap_init(dk_charsmap *m, const void *blob, size_t len, const char *name, dk_err *err);
void dk_charsmap_free(dk_charsmap *m);

/* Settings of a NormalizerSpec and what the trainer says about spaces. */
typedef struct dk_spm_normalizer {
    dk_charsmap map;
    dk_trie user_defined; /* matched before the map and left as they are */
    bool add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces, whitespace_as_suffix;
} dk_spm_normalizer;

/* Appends the normal form of s; both fail only when a map from a broken file inflates the text. */
int dk_spm_normalize(const dk_spm_normalizer *z, const char *s, size_t len, dk_buf *out,
                     dk_err *err);
int dk_charsmap_apply_clusters(const dk_charsmap *m, const char *s, size_t len, dk_buf *out,
                               dk_err *err);

/* Most bytes that a text of len bytes may have after normalisation. The longest expansions of
 * Unicode's own forms are below 12 times. */
static inline size_t dk_normalized_limit(size_t len)
{
    return len * 64 + 65536;
}
int dk_normalized_too_long(size_t len, dk_err *err); /* fails with DK_EFORMAT */

#endif
