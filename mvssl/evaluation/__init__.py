"""Evaluation: features and records once, then whatever is read off them."""

from mvssl.evaluation.base import Evaluator, Learner, Need, Shown, known_evaluators
from mvssl.evaluation.classes import balanced_accuracy, class_accuracies
from mvssl.evaluation.clustering import Clustering, matched_accuracy
from mvssl.evaluation.evaluate import check_evaluators, evaluate, evaluate_pixels
from mvssl.evaluation.features import (
    Features,
    extract_features,
    pixel_features,
    stream_features,
)
from mvssl.evaluation.information import Information
from mvssl.evaluation.inputs import Inputs
from mvssl.evaluation.knn import KNN, knn_accuracy, knn_predict, knn_predict_each
from mvssl.evaluation.linear import LinearProbe
from mvssl.evaluation.logistic import Logistic, fit_logistic, standardize
from mvssl.evaluation.low_shot import LowShot
from mvssl.evaluation.online_probe import OnlineProbe
from mvssl.evaluation.records import extract_record
from mvssl.evaluation.retrieval import Retrieval, average_precision
from mvssl.evaluation.sgd_probe import SGDProbe

__all__ = [
    "KNN",
    "Clustering",
    "Evaluator",
    "Features",
    "Information",
    "Inputs",
    "Learner",
    "LinearProbe",
    "Logistic",
    "LowShot",
    "Need",
    "OnlineProbe",
    "Retrieval",
    "SGDProbe",
    "Shown",
    "average_precision",
    "balanced_accuracy",
    "check_evaluators",
    "class_accuracies",
    "evaluate",
    "evaluate_pixels",
    "extract_features",
    "extract_record",
    "fit_logistic",
    "knn_accuracy",
    "knn_predict",
    "knn_predict_each",
    "known_evaluators",
    "matched_accuracy",
    "pixel_features",
    "standardize",
    "stream_features",
]
