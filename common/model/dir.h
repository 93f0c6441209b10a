/* A model directory in the hub's layout: model_index.json, one folder per component.
 *
 * Opening reads the index and the components' config.json files and decides what the model is, on
 * the transformer's own config (the pipeline's name only sets the text limit). No weights are
 * touched. The path may also be a repository folder of the hub's cache (models--org--name), whose
 * refs/main then says which snapshot is meant. */
#ifndef DK_MODEL_DIR_H
#define DK_MODEL_DIR_H

#include "base/hash.h"
#include "io/json.h"
#include "io/weights.h"

typedef enum { DK_ARCH_PIXART, DK_ARCH_DIT } dk_arch;

typedef enum {
    DK_COMP_SCHEDULER,
    DK_COMP_TOKENIZER,
    DK_COMP_TEXT_ENCODER,
    DK_COMP_TRANSFORMER,
    DK_COMP_VAE,
    DK_COMP_COUNT
} dk_component;

typedef struct dk_model_dir {
    char *path;   /* as given */
    char *root;   /* the folder of model_index.json */
    char *variant; /* of the weight files, or NULL */
    dk_arch arch;
    const char *pipeline; /* _class_name of the index; borrowed from it */
    int text_limit;       /* tokens of a prompt: 120 PixArt-alpha, 300 PixArt-Sigma; 0 no text */
    dk_json index;
    dk_json config[DK_COMP_COUNT]; /* root NULL for the tokenizer and for absent components */
} dk_model_dir;

/* Errors: missing index or component DK_EFORMAT, another pipeline or class DK_EUNSUPPORTED. */
int dk_model_dir_open(dk_model_dir *d, const char *path, const char *variant, dk_err *err);
void dk_model_dir_close(dk_model_dir *d);

const char *dk_component_name(dk_component c); /* the folder: "text_encoder" */
bool dk_model_dir_has(const dk_model_dir *d, dk_component c);
char *dk_model_dir_path(const dk_model_dir *d, dk_component c); /* malloc-ed */
dk_jnode dk_model_dir_config(const dk_model_dir *d, dk_component c);
dk_weights *dk_model_dir_weights(const dk_model_dir *d, dk_component c, dk_err *err);

/* Class id of the index's id2label by number or by one of its comma-separated names; DK_EUSAGE if
 * there is none. `classes` bounds numbers. */
int dk_model_dir_class(const dk_model_dir *d, const char *what, int classes, int *id, dk_err *err);
/* First name of a class ("golden retriever"), or NULL. malloc-ed. */
char *dk_model_dir_class_name(const dk_model_dir *d, int id);

/* Adds the component's config, weights or tokenizer files to h. */
int dk_model_dir_hash(const dk_model_dir *d, dk_component c, dk_hasher *h, dk_err *err);

#endif
