/* The entry that libFuzzer calls. `--device=NAME` says what is fuzzed. */
#include "board.h"

#include <stdio.h>

static const struct target *chosen;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    for (int i = 1; i < *argc; i++)
        if (!strncmp((*argv)[i], "--device=", 9))
            chosen = target_find((*argv)[i] + 9);
    if (chosen)
        return 0;
    fprintf(stderr, "--device=NAME is missing, or no target has that name\n");
    exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_one(chosen, data, size);
    return 0;
}
