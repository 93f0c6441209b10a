/* Shared by safetensors.c and weights.c. */
#ifndef DK_IO_SAFETENSORS_INTERNAL_H
#define DK_IO_SAFETENSORS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#define DK_ST_LFS_TEXT "is a git-LFS pointer, not the file itself; fetch it with `git lfs pull`"

bool dk_st_is_lfs(const void *data, size_t len);

#endif
