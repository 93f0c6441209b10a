# Compares published fidelity rows with what `gnn-explain evaluate --report` wrote.
#   awk -F, -v model=M -v group=G -v tolerance=T -f gnn_fidelity.awk TABLE.csv fidelity.csv methods.csv
# TABLE is fidelity_search.csv (group: its class, may be empty; method eig) or fidelity_methods.csv
# (group: "ids search"). Prints a TAP line without number, "ok - ..." or "not ok - ...", per row.
# fid_plus, fid_minus and sparsity must be within T, the AUC (where the table has one) within .005,
# and n equal.
function off(found, wanted, most) {
    return found == "" || found - wanted > most + 1e-12 || wanted - found > most + 1e-12
}
function key(method, cap) { return method " " (cap + 0) }

FNR == 1 {
    file++
    delete column
    for (i = 1; i <= NF; i++) column[$i] = i
    next
}
file == 1 {
    if ($1 != model) next
    if ("class" in column) {
        if ($column["class"] != group) next
        method = "eig"
    } else {
        if ($column["ids"] " " $column["search"] != group) next
        method = $column["method"]
    }
    k = key(method, $column["cap"])
    order[++rows] = k
    n[k] = $column["n"]
    plus[k] = $column["fid_plus"]
    minus[k] = $column["fid_minus"]
    sparsity[k] = $column["sparsity"]
    auc[k] = ("auc" in column) ? $column["auc"] : ""
    next
}
file == 2 {
    if ($column["class"] != "all") next
    k = key($column["method"], $column["cap"])
    found_n[k] = $column["n"]
    found_plus[k] = $column["fid_plus"]
    found_minus[k] = $column["fid_minus"]
    found_sparsity[k] = $column["sparsity"]
    next
}
file == 3 {
    found_auc[key($column["method"], $column["cap"])] = $column["auc"]
}
END {
    for (i = 1; i <= rows; i++) {
        k = order[i]
        problem = ""
        if (found_n[k] != n[k]) problem = problem " n " found_n[k] " not " n[k]
        if (off(found_plus[k], plus[k], tolerance)) problem = problem " fid_plus " found_plus[k] " not " plus[k]
        if (off(found_minus[k], minus[k], tolerance)) problem = problem " fid_minus " found_minus[k] " not " minus[k]
        if (off(found_sparsity[k], sparsity[k], tolerance))
            problem = problem " sparsity " found_sparsity[k] " not " sparsity[k]
        if (auc[k] != "" && off(found_auc[k], auc[k], .005)) problem = problem " auc " found_auc[k] " not " auc[k]
        print (problem == "" ? "ok" : "not ok") " - " model " [" group "] " k (problem == "" ? "" : ":" problem)
    }
    if (rows == 0) print "not ok - " model " [" group "]: no such rows in the table"
}
