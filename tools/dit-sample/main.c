/* dit-sample: pictures from words, or from a class, with a diffusion transformer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/par.h"
#include "base/sig.h"
#include "base/version.h"
#include "sample.h"

static int generate(int argc, char **argv, dk_err *err)
{
    ds_options o;
    ds_plan plan = {0};
    dk_json settings = {0};
    int first;

    ds_options_init(&o);
    int rc = dk_opt_parse(ds_spec(&o), argc, argv, &first, err);
    if (rc)
        return rc < 0 ? rc : 0;
    dk_log_init("dit-sample", o.quiet ? -1 : o.verbose);
    dk_set_threads((int)o.threads);
    if (ds_options_check(&o, argc - first, err))
        return err->code;
    if (o.replay && ds_settings_replay(&o, o.replay, &settings, err))
        goto out;
    if (ds_plan_open(&plan, &o, err))
        goto out;
    if (o.dry_run) {
        ds_dry_run(&plan, err);
        goto out;
    }
    if (ds_check_outputs(&plan, err) || ds_plan_hash(&plan, err))
        goto out;
    if (o.replay && ds_settings_verify(&plan, &settings, err))
        goto out;
    ds_generate(&plan, err);
out:
    ds_plan_close(&plan);
    dk_json_free(&settings);
    return err->code;
}

int main(int argc, char **argv)
{
    static dk_err err;
    int rc;

    dk_par_start(argv);
    dk_err_init(&err);
    dk_log_init("dit-sample", 0);
    dk_sig_init();
    if (argc > 1 && strcmp(argv[1], "inspect") == 0)
        rc = ds_inspect(argc - 1, argv + 1, &err);
    else if (argc > 1 && strcmp(argv[1], "tokenize") == 0)
        rc = ds_tokenize(argc - 1, argv + 1, &err);
    else
        rc = generate(argc, argv, &err);
    /* A full disk or a closed pipe shows only when the buffer is flushed. */
    if (rc >= 0 && (fflush(stdout) || ferror(stdout)))
        rc = dk_fail_errno(&err, "standard output");
    if (rc < 0)
        dk_log(DK_LOG_ERROR, "%s", err.msg);
    return dk_exit_status(rc);
}
