#!/bin/sh
# gnn-explain evaluate: fidelity, sparsity and AUC of the published tables for the models of others.
# By default MUTAG and BA_2Motifs; DK_FIDELITY_SETS="Mutagenicity NCI1" runs the larger sets.
. "$(dirname "$0")/lib.sh"
. "$DK_ROOT/tests/tools/gnn_checks.sh"
tables=$DK_ROOT/tests/data/gnn
wanted=" ${DK_FIDELITY_SETS:-MUTAG BA_2Motifs} "
# The report's curves are not wanted here: no plotting program is found. awk and the like are used
# outside of that.
mkdir nothing

# compare MODEL GROUP TOLERANCE TABLE DATA options... : one line per row of the table
compare() {
    model=$1 group=$2 tolerance=$3 table=$tables/$4.csv data=$5
    shift 5
    case $wanted in *" $data "*) ;; *) return ;; esac
    rm -rf report
    expect 0 "$model [$group]" env PATH="$PWD/nothing" "$gx" evaluate -q -m "$nets/$model.safetensors" \
        -d "$sets/$data" --even 0 --ties pair --report report "$@"
    awk -F, -v model="$model" -v group="$group" -v tolerance="$tolerance" \
        -f "$DK_ROOT/tests/tools/gnn_fidelity.awk" "$table" report/fidelity.csv report/methods.csv >lines
    while read -r line; do
        case $line in
        "ok - "*) pass "${line#ok - }" ;;
        *) fail "${line#not ok - }" ;;
        esac
    done <lines
}

# The class whose graphs the tables explain; of BA_2Motifs both, by range.
class_of() { # MODEL FIRST
    case $2 in
    '') awk -F, -v model="$1" '$1 == model {print $3; exit}' "$tables/fidelity_search.csv" ;;
    *) case $1 in
       *_ba_2motifs) if [ "$2" -lt 500 ]; then echo 0; else echo 1; fi ;;
       *) class_of "$1" '' ;;
       esac ;;
    esac
}

# ---- Whole sets, EiG-Search.
sed 1d "$tables/fidelity_search.csv" | cut -d, -f1-3 | sort -u >groups
while IFS=, read -r model data class; do
    tolerance=.005
    [ "$data" != BA_2Motifs ] || tolerance=.03
    compare "$model" "$class" "$tolerance" fidelity_search "$data" --methods eig --search 1 --gt none \
        --caps 0.5,0.6,0.7,0.75,0.8,0.85,0.9 ${class:+--class "$class"}
done <groups

# ---- Six explainers on the first n explained graphs.
sed 1d "$tables/fidelity_methods.csv" | cut -d, -f1-3,6 | sort -u >groups
while IFS=, read -r model data ids search; do
    compare "$model" "$ids $search" .005 fidelity_methods "$data" --methods eig,goat,grad,ig,gradcam,sa \
        --search "$search" --caps 0.5,0.7,0.8 --ids "$ids" --class "$(class_of "$model" "${ids%-*}")"
done <groups
finish
